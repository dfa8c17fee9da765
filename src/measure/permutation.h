// SPDX-License-Identifier: MIT
// The paired permutation test: where the condition changes nothing, a conversation's differences could as well have the
// other sign, all of them at once (Fisher 1935; Good 2005, section 3.2).
//
// Two-sided: p is the share of sign flips whose sum of differences lies as far from 0 as the observed one, or farther.
// Without clusters and exact, it is SciPy's permutation_test with permutation_type="samples". Pure, for any thread.
//
// Calibrated on null data (docs/results/calibration.md); below its level where scores take few values, as rates of few
// conversations do.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace bulkhead::measure {

struct PermutationOptions {
  std::size_t draws = 100'000;  // where there are too many flips to try all
  std::uint32_t seed = 1;       // RandomDraws: the same flips on every machine
};

struct PermutationTest {
  double mean = 0.0;  // difference
  double p = 1.0;
  bool exact = true;         // all flips were tried: up to 20 clusters whose sum is not 0
  std::size_t clusters = 0;  // all; those whose sum is 0 cannot change a flip's sum
  std::size_t flips = 0;     // tried; drawn ones give p = (1 + as far) / (1 + draws), never 0 (Phipson and Smyth 2010)
};

// kBadInput as sum_by_cluster; kUsage for no draws. Time: 2^clusters or draws * clusters.
[[nodiscard]] Result<PermutationTest> sign_flip_test(std::span<const double> differences,
                                                     std::span<const std::size_t> clusters,
                                                     const PermutationOptions& options = {});

}  // namespace bulkhead::measure
