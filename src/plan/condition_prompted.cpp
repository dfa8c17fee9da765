// SPDX-License-Identifier: MIT
#include "plan/builtin_conditions.h"

namespace bulkhead::plan {
namespace {

std::vector<ContextSpec> prompted_contexts(const conversation::Scenario& scenario) {
  auto spec = one_context(scenario);
  spec.content.instruction = true;
  return {std::move(spec)};
}

}  // namespace

Condition prompted() noexcept {
  return {.name = "prompted", .title = "Prompted", .separates = "words", .contexts = prompted_contexts};
}

}  // namespace bulkhead::plan
