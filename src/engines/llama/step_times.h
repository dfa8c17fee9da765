// SPDX-License-Identifier: MIT
// How long a step takes by the columns that it computes, learned from the steps themselves: what a drafted token costs
// differs threefold between CPUs, models and context lengths.
#pragma once

#include <array>
#include <cstdint>

namespace bulkhead::engines::llama {

// Columns (sequences times tokens each) of one step up to which drafts may fill it: beyond, a CPU computes, and a
// further column costs as much as the first.
inline constexpr std::uint32_t kCheapColumns = 8;

class StepTimes {
 public:
  // A step of so many columns took so long. More than kCheapColumns are not kept.
  void learn(std::uint32_t columns, double seconds);

  // Expected time of a step of 1 to kCheapColumns columns, in units of which only ratios mean something. A number of
  // columns that was not seen yet is estimated from the nearest one that was.
  [[nodiscard]] double expected(std::uint32_t columns) const;

 private:
  std::array<double, kCheapColumns + 1> seconds_{};  // by columns; 0: not seen
};

}  // namespace bulkhead::engines::llama
