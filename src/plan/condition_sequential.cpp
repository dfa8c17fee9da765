// SPDX-License-Identifier: MIT
#include "plan/builtin_conditions.h"

namespace bulkhead::plan {
namespace {

std::vector<ContextSpec> contexts(const conversation::Scenario& scenario) {
  return {one_context(scenario)};
}

}  // namespace

Condition sequential() noexcept {
  return {.name = "sequential", .title = "Sequential", .separates = "nothing", .contexts = contexts};
}

}  // namespace bulkhead::plan
