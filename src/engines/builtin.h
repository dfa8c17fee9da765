// SPDX-License-Identifier: MIT
// The engines this build holds. The only place that names concrete engines.
#pragma once

#include "engine/engine.h"

namespace bulkhead::engines {

// "llama", "transformers", "mlx" and "fake", in that order.
[[nodiscard]] engine::Registry builtin_engines();

}  // namespace bulkhead::engines
