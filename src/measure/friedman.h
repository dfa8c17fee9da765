// SPDX-License-Identifier: MIT
// Friedman's test (Friedman 1937), with the correction for ties: whether several treatments of the same blocks differ
// at all. It says neither which nor by how much. Pure, for any thread.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <span>
#include <vector>

namespace bulkhead::measure {

struct FriedmanTest {
  std::vector<double> mean_ranks;  // [n_treatments] from 1, of the lowest value; equal values share their mean rank
  double statistic = 0.0;          // chi-squared, corrected for ties; 0 when all values of every block are equal
  std::size_t degrees_of_freedom = 0;
  double p = 1.0;  // of the chi-squared approximation: good from about ten blocks on
};

// `blocks`: [n_blocks][n_treatments] finite numbers. Equals scipy.stats.friedmanchisquare, which gives no number where
// all values are equal. kBadInput: fewer than three treatments, no block, blocks of unequal length, not finite.
[[nodiscard]] Result<FriedmanTest> friedman_test(std::span<const std::vector<double>> blocks);

}  // namespace bulkhead::measure
