// SPDX-License-Identifier: MIT
#include "eval/paired_items.h"

#include <map>
#include <string>
#include <utility>

namespace bulkhead::eval {
namespace {

using ItemKey = std::pair<std::string_view, std::string_view>;  // conversation, item

std::map<ItemKey, double> values_of(std::span<const Cell* const> cells, const Endpoint& endpoint,
                                    std::string_view condition) {
  std::map<ItemKey, double> values;
  for (const auto* cell : cells) {
    if (cell->key.condition == condition && endpoint.counts(*cell)) {
      values[{cell->key.conversation, cell->key.item}] = endpoint.value(*cell);
    }
  }
  return values;
}

}  // namespace

PairedItems pair_items(std::span<const Cell* const> cells, const Endpoint& endpoint, std::string_view first,
                       std::string_view second) {
  PairedItems pairs;
  std::map<std::string_view, std::size_t> numbers;
  double first_sum = 0;
  double second_sum = 0;
  const auto others = values_of(cells, endpoint, second);
  for (const auto& [key, value] : values_of(cells, endpoint, first)) {
    const auto other = others.find(key);
    if (other == others.end()) continue;
    pairs.differences.push_back(value - other->second);
    pairs.clusters.push_back(numbers.emplace(key.first, numbers.size()).first->second);
    first_sum += value;
    second_sum += other->second;
  }
  pairs.conversations = numbers.size();
  if (pairs.differences.empty()) return pairs;
  const auto n = static_cast<double>(pairs.differences.size());
  pairs.mean_first = first_sum / n;
  pairs.mean_second = second_sum / n;
  return pairs;
}

}  // namespace bulkhead::eval
