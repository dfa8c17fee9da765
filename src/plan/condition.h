// SPDX-License-Identifier: MIT
// Condition: a pure function from a scenario to the contexts that its outputs are generated from. Adding one touches
// its own file and its lines in the tables of builtin_conditions.h and condition.cpp.
#pragma once

#include "base/result.h"
#include "conversation/scenario.h"
#include "prompt/assembly.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::plan {

// One context, its cache and what is generated from it. Each output is generated from a clean copy of the context.
struct ContextSpec {
  std::string name;                   // within the condition: "all", or a cluster id
  std::vector<std::string> clusters;  // whose turns it shows
  prompt::ContextContent content;
  std::vector<std::string> outputs;  // labels
};

struct Condition {
  std::string_view name;       // "sequential"
  std::string_view title;      // "Sequential"
  std::string_view separates;  // what keeps topics apart, for people: "nothing", "words", "markers", "own caches"
  std::vector<ContextSpec> (*contexts)(const conversation::Scenario& scenario);
};

// All conditions, in the order of a report.
[[nodiscard]] std::span<const Condition> conditions() noexcept;

// kUsage, with the known names.
[[nodiscard]] Result<const Condition*> find_condition(std::string_view name);

}  // namespace bulkhead::plan
