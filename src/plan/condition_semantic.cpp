// SPDX-License-Identifier: MIT
#include "plan/builtin_conditions.h"

#include <algorithm>

namespace bulkhead::plan {
namespace {

ContextSpec context_of(const conversation::Cluster& cluster, const conversation::Scenario& scenario) {
  ContextSpec spec;
  spec.name = cluster.id;
  spec.clusters = {cluster.id};
  spec.content.turns = cluster.turns;
  const auto& sources = cluster.depends_on;
  for (const auto& other : scenario.clusters) {
    const bool awaited = std::find(sources.begin(), sources.end(), other.id) != sources.end();
    if (awaited) spec.content.messages_from.push_back(other.label);
  }
  spec.outputs = {cluster.label};
  return spec;
}

std::vector<ContextSpec> semantic_contexts(const conversation::Scenario& scenario) {
  std::vector<ContextSpec> specs;
  specs.reserve(scenario.clusters.size());
  for (const auto& cluster : scenario.clusters) specs.push_back(context_of(cluster, scenario));
  return specs;
}

}  // namespace

Condition semantic() noexcept {
  return {.name = "semantic", .title = "Semantic", .separates = "own caches", .contexts = semantic_contexts};
}

}  // namespace bulkhead::plan
