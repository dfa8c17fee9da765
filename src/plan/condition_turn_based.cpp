// SPDX-License-Identifier: MIT
#include "plan/builtin_conditions.h"

namespace bulkhead::plan {
namespace {

std::vector<ContextSpec> turn_based_contexts(const conversation::Scenario& scenario) {
  auto spec = one_context(scenario);
  spec.content.markers = true;
  return {std::move(spec)};
}

}  // namespace

Condition turn_based() noexcept {
  return {.name = "turn_based", .title = "Turn-based", .separates = "markers", .contexts = turn_based_contexts};
}

}  // namespace bulkhead::plan
