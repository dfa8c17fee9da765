// SPDX-License-Identifier: MIT
#include "measure/friedman.h"

#include "measure/distributions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace bulkhead::measure {
namespace {

constexpr std::size_t kLeastTreatments = 3;

Result<void> check_blocks(std::span<const std::vector<double>> blocks) {
  if (blocks.empty()) return Error{ErrorCode::kBadInput, "no blocks, at least one is needed", "blocks", ""};
  const auto treatments = blocks.front().size();
  if (treatments < kLeastTreatments) {
    return Error{ErrorCode::kBadInput,
                 fmt::format("{} treatments, at least {} are needed", treatments, kLeastTreatments), "blocks[0]",
                 "use a paired test for two"};
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].size() != treatments) {
      return Error{ErrorCode::kBadInput, fmt::format("{} treatments, {} before", blocks[i].size(), treatments),
                   fmt::format("blocks[{}]", i), "leave incomplete blocks out"};
    }
    for (const double value : blocks[i]) {
      if (std::isfinite(value)) continue;
      return Error{ErrorCode::kBadInput, fmt::format("{} is not a finite number", value), fmt::format("blocks[{}]", i),
                   "leave incomplete blocks out"};
    }
  }
  return {};
}

// Adds the block's ranks to `sums`. Gives the sum of t^3 - t over its groups of t equal values.
double add_ranks(const std::vector<double>& block, std::vector<double>& sums) {
  std::vector<std::size_t> order(block.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return block[i]; });
  double ties = 0;
  for (std::size_t first = 0; first < order.size();) {
    std::size_t end = first + 1;
    while (end < order.size() && block[order[end]] == block[order[first]]) ++end;
    const double rank = static_cast<double>(first + 1 + end) / 2.0;
    for (std::size_t i = first; i < end; ++i) sums[order[i]] += rank;
    const auto equal = static_cast<double>(end - first);
    ties += equal * equal * equal - equal;
    first = end;
  }
  return ties;
}

}  // namespace

Result<FriedmanTest> friedman_test(std::span<const std::vector<double>> blocks) {
  BH_CHECK(check_blocks(blocks));
  const auto treatments = blocks.front().size();
  std::vector<double> sums(treatments, 0.0);
  double ties = 0;
  for (const auto& block : blocks) ties += add_ranks(block, sums);
  const auto n = static_cast<double>(blocks.size());
  const auto k = static_cast<double>(treatments);
  FriedmanTest test;
  test.degrees_of_freedom = treatments - 1;
  double squares = 0;
  for (const double sum : sums) {
    squares += sum * sum;
    test.mean_ranks.push_back(sum / n);
  }
  const double correction = 1.0 - ties / (k * (k * k - 1.0) * n);
  if (correction <= 0.0) return test;
  test.statistic = (12.0 / (k * n * (k + 1.0)) * squares - 3.0 * n * (k + 1.0)) / correction;
  test.p = chi_squared_survival(std::max(0.0, test.statistic), k - 1.0);
  return test;
}

}  // namespace bulkhead::measure
