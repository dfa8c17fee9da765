// SPDX-License-Identifier: MIT
#include "measure/permutation.h"

#include "measure/paired_differences.h"
#include "measure/random_draws.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace bulkhead::measure {
namespace {

constexpr std::size_t kMostExactClusters = 20;
// Sums that differ by less than this share of the largest possible one are equal: they were added up in another order.
constexpr double kRelativeRounding = 1e-12;

// The sums of all sign flips that leave the first value as it is: the others are their negatives.
std::vector<double> all_flips(const std::vector<double>& sums) {
  std::vector<double> totals{sums.front()};
  totals.reserve(std::size_t{1} << (sums.size() - 1));
  for (std::size_t i = 1; i < sums.size(); ++i) {
    const std::size_t before = totals.size();
    for (std::size_t k = 0; k < before; ++k) totals.push_back(totals[k] - sums[i]);
    for (std::size_t k = 0; k < before; ++k) totals[k] += sums[i];
  }
  return totals;
}

std::size_t count_drawn(const std::vector<double>& sums, double least, const PermutationOptions& options) {
  RandomDraws draws(options.seed);
  std::size_t far = 0;
  for (std::size_t draw = 0; draw < options.draws; ++draw) {
    double total = 0.0;
    for (const double sum : sums) total += draws.coin() ? -sum : sum;
    if (std::abs(total) >= least) ++far;
  }
  return far;
}

}  // namespace

Result<PermutationTest> sign_flip_test(std::span<const double> differences, std::span<const std::size_t> clusters,
                                       const PermutationOptions& options) {
  BH_TRY(const auto by_cluster, sum_by_cluster(differences, clusters));
  if (options.draws == 0) return Error{ErrorCode::kUsage, "0 draws, at least 1 is needed", "draws", "100000 is usual"};
  double observed = 0.0;
  double largest = 0.0;
  std::vector<double> sums;
  for (const auto& cluster : by_cluster) {
    observed += cluster.sum;
    largest += std::abs(cluster.sum);
    if (cluster.sum != 0.0) sums.push_back(cluster.sum);
  }
  PermutationTest test;
  test.mean = observed / static_cast<double>(differences.size());
  test.clusters = by_cluster.size();
  test.exact = sums.size() <= kMostExactClusters;
  test.flips = 1;
  if (sums.empty()) return test;
  const double least = std::abs(observed) - (kRelativeRounding * largest);
  if (test.exact) {
    const auto totals = all_flips(sums);
    const auto far = std::ranges::count_if(totals, [&](double total) { return std::abs(total) >= least; });
    test.p = static_cast<double>(far) / static_cast<double>(totals.size());
    test.flips = 2 * totals.size();
  } else {
    const std::size_t far = count_drawn(sums, least, options);
    test.p = static_cast<double>(1 + far) / static_cast<double>(1 + options.draws);
    test.flips = options.draws;
  }
  return test;
}

}  // namespace bulkhead::measure
