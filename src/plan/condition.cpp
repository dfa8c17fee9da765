// SPDX-License-Identifier: MIT
#include "plan/condition.h"

#include "plan/builtin_conditions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace bulkhead::plan {

std::span<const Condition> conditions() noexcept {
  static const std::array kTable = {sequential(), prompted(), turn_based(), semantic()};
  return kTable;
}

Result<const Condition*> find_condition(std::string_view name) {
  const auto all = conditions();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Condition& one) { return one.name == name; });
  if (found != all.end()) return &*found;
  std::vector<std::string_view> known;
  for (const auto& one : all) known.push_back(one.name);
  return Error{ErrorCode::kUsage,
               fmt::format("there is no condition \"{}\"", name),
               {},
               fmt::format("known: {}", fmt::join(known, ", "))};
}

ContextSpec one_context(const conversation::Scenario& scenario) {
  ContextSpec spec;
  spec.name = "all";
  for (const auto& cluster : scenario.clusters) {
    spec.clusters.push_back(cluster.id);
    spec.outputs.push_back(cluster.label);
  }
  for (const auto& turn : scenario.turns) spec.content.turns.push_back(turn.id);
  return spec;
}

}  // namespace bulkhead::plan
