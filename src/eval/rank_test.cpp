// SPDX-License-Identifier: MIT
#include "eval/rank_test.h"

#include "eval/endpoint.h"
#include "eval/evaluation_condition.h"
#include "measure/friedman.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::eval {
namespace {

constexpr std::size_t kLeastConditions = 3;
constexpr std::size_t kLeastConversations = 2;

using ItemKey = std::pair<std::string_view, std::string_view>;  // conversation, item
using Values = std::map<std::string_view, double>;              // by condition

struct Blocks {
  std::vector<std::string_view> conditions;
  std::vector<std::vector<double>> means;  // [n_conversations][n_conditions]
  std::size_t items = 0;
};

// In the order of the table of conditions.
std::vector<std::string_view> conditions_of(const std::map<ItemKey, Values>& items) {
  std::vector<std::string_view> conditions;
  for (const auto& condition : evaluation_conditions()) {
    const bool there =
        std::any_of(items.begin(), items.end(), [&](const auto& one) { return one.second.contains(condition.name); });
    if (there) conditions.push_back(condition.name);
  }
  return conditions;
}

Blocks blocks_of(std::span<const Cell* const> cells, const Endpoint& endpoint) {
  std::map<ItemKey, Values> items;
  for (const auto* cell : cells) {
    if (!endpoint.counts(*cell)) continue;
    items[{cell->key.conversation, cell->key.item}][cell->key.condition] = endpoint.value(*cell);
  }
  Blocks blocks;
  blocks.conditions = conditions_of(items);
  std::map<std::string_view, std::pair<std::size_t, std::vector<double>>> sums;
  for (const auto& [key, values] : items) {
    if (values.size() != blocks.conditions.size()) continue;
    auto& [count, sum] = sums[key.first];
    sum.resize(blocks.conditions.size());
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values.at(blocks.conditions[i]);
    ++count;
    ++blocks.items;
  }
  for (auto& [conversation, one] : sums) {
    for (auto& value : one.second) value /= static_cast<double>(one.first);
    blocks.means.push_back(std::move(one.second));
  }
  return blocks;
}

}  // namespace

Result<Json> rank_tests(std::span<const Cell* const> cells) {
  Json list = Json::array();
  for (const auto& endpoint : endpoints()) {
    const auto blocks = blocks_of(cells, endpoint);
    if (blocks.conditions.size() < kLeastConditions || blocks.means.size() < kLeastConversations) continue;
    BH_TRY(const auto test, measure::friedman_test(blocks.means));
    list.push_back({{"endpoint", endpoint.name},
                    {"conditions", blocks.conditions},
                    {"mean_ranks", test.mean_ranks},
                    {"conversations", blocks.means.size()},
                    {"items", blocks.items},
                    {"statistic", test.statistic},
                    {"degrees_of_freedom", test.degrees_of_freedom},
                    {"p", test.p}});
  }
  return list;
}

}  // namespace bulkhead::eval
