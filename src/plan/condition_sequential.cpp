// SPDX-License-Identifier: MIT
#include "plan/builtin_conditions.h"

namespace bulkhead::plan {
namespace {

std::vector<ContextSpec> sequential_contexts(const conversation::Scenario& scenario) {
  return {one_context(scenario)};
}

}  // namespace

Condition sequential() noexcept {
  return {.name = "sequential", .title = "Sequential", .separates = "nothing", .contexts = sequential_contexts};
}

}  // namespace bulkhead::plan
