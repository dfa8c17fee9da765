// SPDX-License-Identifier: MIT
#include "measure/proportion.h"

#include "measure/distributions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bulkhead::measure {
namespace {

Result<void> check(std::size_t successes, std::size_t trials, double confidence) {
  if (successes > trials)
    return Error{ErrorCode::kUsage, fmt::format("{} successes of {} trials", successes, trials), "successes", ""};
  return check_confidence(confidence);
}

}  // namespace

Result<Interval> clopper_pearson(std::size_t successes, std::size_t trials, double confidence) {
  BH_CHECK(check(successes, trials, confidence));
  const double tail = (1.0 - confidence) / 2.0;
  const auto hits = static_cast<double>(successes);
  const auto misses = static_cast<double>(trials - successes);
  return Interval{successes == 0 ? 0.0 : beta_quantile(tail, hits, misses + 1.0),
                  successes == trials ? 1.0 : beta_quantile(1.0 - tail, hits + 1.0, misses)};
}

Result<Interval> wilson(std::size_t successes, std::size_t trials, double confidence) {
  BH_CHECK(check(successes, trials, confidence));
  if (trials == 0) return Interval{0.0, 1.0};
  const auto n = static_cast<double>(trials);
  const double share = static_cast<double>(successes) / n;
  const double z = normal_quantile((1.0 + confidence) / 2.0);
  const double middle = (share + (z * z / (2.0 * n))) / (1.0 + (z * z / n));
  const double half = z / (1.0 + (z * z / n)) * std::sqrt((share * (1.0 - share) / n) + (z * z / (4.0 * n * n)));
  return Interval{successes == 0 ? 0.0 : std::max(0.0, middle - half),
                  successes == trials ? 1.0 : std::min(1.0, middle + half)};
}

}  // namespace bulkhead::measure
