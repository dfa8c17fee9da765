// SPDX-License-Identifier: MIT
// The child's side of the worker protocol (docs/worker-protocol.md): an engine, served over two descriptors.
#pragma once

#include "engine/engine.h"

namespace bulkhead::engines::process {

// Reads requests from `in` and answers on `out`, which nothing else may write to, until `in` ends: then this process
// ends, whatever it computes. Gives an exit code when the other side does not keep to the protocol. Engines come out of
// `registry`.
[[nodiscard]] int serve(int in, int out, const engine::Registry& registry);

}  // namespace bulkhead::engines::process
