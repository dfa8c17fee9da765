// SPDX-License-Identifier: MIT
#include "measure/equivalence.h"

#include "measure/distributions.h"
#include "measure/paired_differences.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace bulkhead::measure {
namespace {

// P(T > t) of Student's t at t = distance / error.
double upper_tail(double distance, double error, double degrees_of_freedom) {
  if (error > 0.0) return student_t_cdf(-distance / error, degrees_of_freedom);
  return distance > 0.0 ? 0.0 : distance < 0.0 ? 1.0 : 0.5;
}

}  // namespace

Result<EquivalenceTest> equivalence_test(std::span<const double> differences, Interval margin, double alpha) {
  BH_CHECK(check_differences(differences));
  if (differences.size() < 2)
    return Error{ErrorCode::kBadInput, "1 difference, at least 2 are needed", "differences", ""};
  if (!(margin.low < margin.high)) {
    return Error{ErrorCode::kUsage, fmt::format("a margin from {} to {} is empty", margin.low, margin.high), "margin",
                 "fix it before looking at the data"};
  }
  if (!(alpha > 0.0 && alpha < 0.5))
    return Error{ErrorCode::kUsage, fmt::format("alpha is {}, it must lie between 0 and 0.5", alpha), "alpha", ""};
  const auto n = static_cast<double>(differences.size());
  EquivalenceTest test;
  test.mean = std::accumulate(differences.begin(), differences.end(), 0.0) / n;
  double squares = 0.0;
  for (const double difference : differences) squares += (difference - test.mean) * (difference - test.mean);
  const auto [least, most] = std::ranges::minmax(differences);
  if (least == most) {
    test.mean = least;  // without what rounding made of it, and without a spread
    squares = 0.0;
  }
  const double error = std::sqrt(squares / (n - 1.0) / n);
  test.p_above = upper_tail(test.mean - margin.low, error, n - 1.0);
  test.p_below = upper_tail(margin.high - test.mean, error, n - 1.0);
  test.p = std::max(test.p_above, test.p_below);
  const double half = student_t_quantile(1.0 - alpha, n - 1.0) * error;
  test.interval = {test.mean - half, test.mean + half};
  return test;
}

}  // namespace bulkhead::measure
