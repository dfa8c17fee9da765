// SPDX-License-Identifier: MIT
#include "measure/wilcoxon.h"

#include "measure/distributions.h"
#include "measure/paired_differences.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace bulkhead::measure {
namespace {

constexpr std::size_t kMostExact = 200;

struct SignedRanks {
  std::vector<std::size_t> doubled;  // twice the rank of each difference but zeros: a whole number with ties too
  std::vector<bool> positive;
  double variance = 0.0;  // of the sum of positive ranks, over all sign flips
};

SignedRanks rank(std::span<const double> differences, ZeroDifferences zeros) {
  std::vector<double> sorted(differences.begin(), differences.end());
  std::ranges::sort(sorted, {}, [](double value) { return std::abs(value); });
  if (zeros == ZeroDifferences::kDrop) std::erase(sorted, 0.0);
  SignedRanks ranks;
  for (std::size_t first = 0; first < sorted.size();) {
    std::size_t end = first + 1;
    while (end < sorted.size() && std::abs(sorted[end]) == std::abs(sorted[first])) ++end;
    const std::size_t doubled = first + 1 + end;  // the mean of the ranks first + 1 to end, twice
    for (std::size_t i = first; i < end && sorted[first] != 0.0; ++i) {
      ranks.doubled.push_back(doubled);
      ranks.positive.push_back(sorted[i] > 0.0);
      const double value = static_cast<double>(doubled) / 2.0;
      ranks.variance += value * value / 4.0;
    }
    first = end;
  }
  return ranks;
}

SignedRankSums sums_of(const SignedRanks& ranks) {
  SignedRankSums sums;
  for (std::size_t i = 0; i < ranks.doubled.size(); ++i)
    (ranks.positive[i] ? sums.positive : sums.negative) += static_cast<double>(ranks.doubled[i]) / 2.0;
  return sums;
}

// P(sum of positive ranks <= the lesser sum) over all sign flips, twice. Each rank is added with a chance of one half.
double exact_p(const SignedRanks& ranks, const SignedRankSums& sums) {
  const std::size_t most = std::accumulate(ranks.doubled.begin(), ranks.doubled.end(), std::size_t{0});
  std::vector<double> chance(most + 1, 0.0);
  chance[0] = 1.0;
  std::size_t reached = 0;
  for (const std::size_t step : ranks.doubled) {
    reached += step;
    for (std::size_t sum = reached + 1; sum-- > 0;)
      chance[sum] = (chance[sum] + (sum >= step ? chance[sum - step] : 0.0)) / 2.0;
  }
  const auto lesser = static_cast<std::size_t>(std::lround(2.0 * std::min(sums.positive, sums.negative)));
  double tail = 0.0;
  for (std::size_t sum = 0; sum <= lesser; ++sum) tail += chance[sum];
  return std::min(1.0, 2.0 * tail);
}

}  // namespace

SignedRankSums signed_rank_sums(std::span<const double> differences, ZeroDifferences zeros) {
  return sums_of(rank(differences, zeros));
}

Result<WilcoxonTest> wilcoxon_signed_rank(std::span<const double> differences, ZeroDifferences zeros,
                                          WilcoxonMethod method) {
  BH_CHECK(check_differences(differences));
  const SignedRanks ranks = rank(differences, zeros);
  WilcoxonTest test;
  test.ranks = sums_of(ranks);
  test.nonzero = ranks.doubled.size();
  test.exact = method == WilcoxonMethod::kExact || (method == WilcoxonMethod::kAuto && test.nonzero <= kMostExact);
  if (test.exact && test.nonzero > kMostExact) {
    return Error{ErrorCode::kUsage, fmt::format("{} differences, at most {} can be exact", test.nonzero, kMostExact),
                 "method", "use the normal approximation"};
  }
  if (test.nonzero == 0) return test;
  test.z = (test.ranks.positive - test.ranks.negative) / (2.0 * std::sqrt(ranks.variance));
  test.p = test.exact ? exact_p(ranks, test.ranks) : 2.0 * normal_cdf(-std::abs(test.z));
  return test;
}

}  // namespace bulkhead::measure
