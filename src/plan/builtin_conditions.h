// SPDX-License-Identifier: MIT
// The conditions built in, one file each.
#pragma once

#include "plan/condition.h"

namespace bulkhead::plan {

[[nodiscard]] Condition sequential() noexcept;
[[nodiscard]] Condition prompted() noexcept;
[[nodiscard]] Condition turn_based() noexcept;
[[nodiscard]] Condition semantic() noexcept;

// What the one-cache conditions begin with: one context "all" with all turns, from which all outputs are generated.
[[nodiscard]] ContextSpec one_context(const conversation::Scenario& scenario);

}  // namespace bulkhead::plan
