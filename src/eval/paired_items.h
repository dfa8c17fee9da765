// SPDX-License-Identifier: MIT
// Items that two conditions both have, as paired differences with their conversation: what all comparisons rest on.
#pragma once

#include "eval/cell.h"
#include "eval/endpoint.h"

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace bulkhead::eval {

inline constexpr std::string_view kBaseline = "semantic";  // what every condition is compared with

struct PairedItems {
  std::vector<double> differences;    // [n_items] first minus second condition, in the endpoint's unit
  std::vector<std::size_t> clusters;  // [n_items] number of the conversation
  std::size_t conversations = 0;
  double mean_first = 0;  // over the items; 0 where there are none
  double mean_second = 0;

  [[nodiscard]] double difference() const noexcept { return mean_first - mean_second; }
};

// By conversation and item, in that order. Cells that do not count for the endpoint are left out.
[[nodiscard]] PairedItems pair_items(std::span<const Cell* const> cells, const Endpoint& endpoint,
                                     std::string_view first, std::string_view second);

}  // namespace bulkhead::eval
