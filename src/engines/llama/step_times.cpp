// SPDX-License-Identifier: MIT
#include "engines/llama/step_times.h"

namespace bulkhead::engines::llama {
namespace {

// How much longer a step takes for each column beyond the first, until it is measured: 0.04 to 0.07 on a Zen 5, 0.18 to
// 0.34 on a Zen 4 (docs/results/kernels.md).
constexpr double kColumnCost = 0.15;
// What other programs take only makes a step longer, so a shorter time is believed sooner than a longer one.
constexpr double kShorter = 0.5;
constexpr double kLonger = 0.1;
constexpr double kLongestBelieved = 2;  // times what was expected

double assumed(std::uint32_t columns) {
  return 1 + kColumnCost * (columns - 1);
}

}  // namespace

void StepTimes::learn(std::uint32_t columns, double seconds) {
  if (columns == 0 || columns > kCheapColumns || !(seconds > 0)) return;
  double& known = seconds_[columns];
  if (known <= 0) {
    known = seconds;
  } else if (seconds < known) {
    known += kShorter * (seconds - known);
  } else if (seconds < known * kLongestBelieved) {
    known += kLonger * (seconds - known);
  }
}

double StepTimes::expected(std::uint32_t columns) const {
  for (std::uint32_t distance = 0; distance < kCheapColumns; ++distance) {
    // Below first: fewer columns are the steps that come most often.
    if (distance < columns && seconds_[columns - distance] > 0) {
      return seconds_[columns - distance] * assumed(columns) / assumed(columns - distance);
    }
    if (columns + distance <= kCheapColumns && seconds_[columns + distance] > 0) {
      return seconds_[columns + distance] * assumed(columns) / assumed(columns + distance);
    }
  }
  return assumed(columns);
}

}  // namespace bulkhead::engines::llama
