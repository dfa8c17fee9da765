// SPDX-License-Identifier: MIT
// Two one-sided t tests of paired differences (TOST, Schuirmann 1987): is the mean difference within a margin that was
// fixed beforehand? A failed test of a difference does not show that. Pure, for any thread.
#pragma once

#include "measure/interval.h"

#include <span>

namespace bulkhead::measure {

struct EquivalenceTest {
  double mean = 0.0;     // difference, in its unit
  double p_above = 1.0;  // of the mean being at or below the lower bound of the margin
  double p_below = 1.0;  // of the mean being at or above the upper bound
  double p = 1.0;        // the larger of the two: equivalent at level alpha when below it; p_above alone is "no worse"
  Interval interval;     // of the mean with confidence 1 - 2 alpha: within the margin just when p < alpha
};

// The differences must be independent: one for each conversation (cluster_means). Equal differences make every p 0 or 1
// (0.5 where the mean lies on a bound). kBadInput as check_differences, and with fewer than 2; kUsage unless
// margin.low < margin.high and 0 < alpha < 0.5.
[[nodiscard]] Result<EquivalenceTest> equivalence_test(std::span<const double> differences, Interval margin,
                                                       double alpha = 0.05);

}  // namespace bulkhead::measure
