// SPDX-License-Identifier: MIT
// Schedule: the steps that contexts need, in an order in which they could run one by one.
#pragma once

#include "plan/plan.h"

#include <span>
#include <vector>

namespace bulkhead::plan {

// Each context's own steps: open, receive messages, prefill; then, for one output, generate in that partition; for
// several, fork for each, prefill its prompt, generate. A partition closes when nothing needs it any more.
// kInternal when contexts of one condition wait for each other, or for an output that none of them makes.
[[nodiscard]] Result<std::vector<Step>> schedule(std::span<const ContextPlan> contexts);

}  // namespace bulkhead::plan
