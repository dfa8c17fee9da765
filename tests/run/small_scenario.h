// SPDX-License-Identifier: MIT
// A scenario of three clusters, small enough to follow by eye, planned for the fake engine.
#pragma once

#include "conversation/scenario.h"
#include "engine/engine.h"
#include "plan/plan.h"
#include "prompt/format.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace bulkhead::testing {

inline std::shared_ptr<const conversation::Scenario> small_scenario() {
  auto parsed = conversation::parse_scenario(R"({"id": "small", "domain": "test",
 "semantic_clusters": {
  "cluster_1": {"task_type": "pumps", "turns": [1, 2], "terminology": ["pump"]},
  "cluster_2": {"task_type": "money", "turns": [3, 4], "terminology": ["budget"]},
  "cluster_3": {"task_type": "synthesis", "turns": [5]}
 },
 "turns": [
  {"turn_id": 1, "cluster": 1, "role": "user", "type": "instruction", "instruction": "Look at the pump."},
  {"turn_id": 2, "cluster": 1, "role": "user", "type": "context", "content": "It leaks."},
  {"turn_id": 3, "cluster": 2, "role": "user", "type": "instruction", "instruction": "Look at the budget."},
  {"turn_id": 4, "cluster": 2, "role": "user", "type": "context", "content": "It is spent."},
  {"turn_id": 5, "cluster": 3, "role": "user", "type": "instruction", "instruction": "Join both."}
 ]})",
                                             "small.json");
  EXPECT_TRUE(parsed.ok()) << (parsed.ok() ? "" : parsed.error().to_string());
  return std::make_shared<const conversation::Scenario>(std::move(parsed).value());
}

inline plan::Plan small_plan(const engine::Engine& engine, std::vector<std::string> conditions,
                             std::uint32_t new_tokens = 12, const std::string& format_name = "raw") {
  auto format = prompt::load_format(format_name);
  EXPECT_TRUE(format.ok());
  auto plan = plan::make_plan(small_scenario(), std::make_shared<const prompt::Format>(std::move(format).value()),
                              engine.tokenizer(),
                              {.conditions = std::move(conditions), .prompt_set = {}, .new_tokens = new_tokens});
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().to_string());
  return std::move(plan).value();
}

}  // namespace bulkhead::testing
