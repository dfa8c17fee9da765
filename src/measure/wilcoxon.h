// SPDX-License-Identifier: MIT
// Wilcoxon's signed-rank test (Wilcoxon 1945; zeros after Pratt 1959; variance with zeros and ties after Cureton 1967).
// Two-sided. It knows no clusters: give it one difference for each conversation (cluster_means). Pure, for any thread.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <span>

namespace bulkhead::measure {

enum class ZeroDifferences {
  kDrop,   // leave them out before ranking
  kPratt,  // rank them, then leave their ranks out
};

enum class WilcoxonMethod {
  kAuto,    // exact for up to 200 differences, else normal
  kExact,   // the distribution over all sign flips of the very ranks at hand, ties included
  kNormal,  // SciPy's method="asymptotic" without continuity correction
};

// Ranks of |difference|, ascending from 1; equal ones share the mean of theirs.
struct SignedRankSums {
  double positive = 0.0;  // sum of the ranks of differences > 0
  double negative = 0.0;  // of differences < 0
};

// `differences` are finite numbers.
[[nodiscard]] SignedRankSums signed_rank_sums(std::span<const double> differences, ZeroDifferences zeros);

struct WilcoxonTest {
  SignedRankSums ranks;  // SciPy's statistic is the lesser of the two
  double z = 0.0;        // of the normal approximation, positive when positive differences prevail
  double p = 1.0;        // 1 when all differences are 0
  bool exact = true;
  std::size_t nonzero = 0;  // differences
};

// The exact p equals SciPy's method="exact" where there are neither ties nor zeros, and its PermutationMethod where
// there are. kBadInput as check_differences; kUsage for kExact with more than 200 differences: time grows with the cube
// of the number.
[[nodiscard]] Result<WilcoxonTest> wilcoxon_signed_rank(std::span<const double> differences,
                                                        ZeroDifferences zeros = ZeroDifferences::kPratt,
                                                        WilcoxonMethod method = WilcoxonMethod::kAuto);

}  // namespace bulkhead::measure
