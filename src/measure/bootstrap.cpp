// SPDX-License-Identifier: MIT
#include "measure/bootstrap.h"

#include "measure/distributions.h"
#include "measure/paired_differences.h"
#include "measure/quantile.h"
#include "measure/random_draws.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace bulkhead::measure {
namespace {

// Means that differ by less than this share of the largest cluster mean are the same: their sums were rounded
// differently.
constexpr double kRounding = 1e-12;

struct Sample {
  std::vector<ClusterSum> clusters;
  ClusterSum all;
  double rounding = 0.0;

  [[nodiscard]] double mean() const { return all.sum / static_cast<double>(all.count); }
};

Result<Sample> read(std::span<const double> differences, std::span<const std::size_t> clusters, double confidence) {
  BH_CHECK(check_confidence(confidence));
  Sample sample;
  BH_TRY(sample.clusters, sum_by_cluster(differences, clusters));
  if (sample.clusters.size() < 2)
    return Error{ErrorCode::kBadInput, "1 cluster, at least 2 are needed", "clusters", "draw more conversations"};
  for (const auto& cluster : sample.clusters) {
    sample.all.sum += cluster.sum;
    sample.all.count += cluster.count;
    sample.rounding = std::max(sample.rounding, kRounding * std::abs(cluster.sum) / static_cast<double>(cluster.count));
  }
  return sample;
}

// `next()` is the place of the next cluster drawn. Sorted.
template <typename Next>
std::vector<double> resampled_means(const Sample& sample, std::size_t resamples, Next next) {
  std::vector<double> means(resamples);
  for (double& mean : means) {
    ClusterSum drawn;
    for (std::size_t i = 0; i < sample.clusters.size(); ++i) {
      const ClusterSum& cluster = sample.clusters[next()];
      drawn.sum += cluster.sum;
      drawn.count += cluster.count;
    }
    mean = drawn.sum / static_cast<double>(drawn.count);
  }
  std::ranges::sort(means);
  return means;
}

// A sixth of the skewness of the jackknife's influences; none when all are alike.
std::optional<double> acceleration(const Sample& sample) {
  std::vector<double> left_out;
  left_out.reserve(sample.clusters.size());
  double sum = 0.0;
  for (const auto& cluster : sample.clusters) {
    left_out.push_back((sample.all.sum - cluster.sum) / static_cast<double>(sample.all.count - cluster.count));
    sum += left_out.back();
  }
  const double mean = sum / static_cast<double>(left_out.size());
  double squares = 0.0;
  double cubes = 0.0;
  double largest = 0.0;
  for (const double value : left_out) {
    const double influence = mean - value;
    squares += influence * influence;
    cubes += influence * influence * influence;
    largest = std::max(largest, std::abs(influence));
  }
  if (largest <= sample.rounding) return std::nullopt;
  return cubes / (6.0 * std::pow(squares, 1.5));
}

std::optional<Interval> bca(const Sample& sample, std::span<const double> sorted, double confidence) {
  const auto skew = acceleration(sample);
  if (!skew) return std::nullopt;
  const auto below = std::ranges::lower_bound(sorted, sample.mean() - sample.rounding) - sorted.begin();
  const auto up_to = std::ranges::upper_bound(sorted, sample.mean() + sample.rounding) - sorted.begin();
  const double bias = normal_quantile(static_cast<double>(below + up_to) / (2.0 * static_cast<double>(sorted.size())));
  if (!std::isfinite(bias)) return std::nullopt;
  const double tail = normal_quantile((1.0 - confidence) / 2.0);
  const auto share = [&](double z) { return normal_cdf(bias + ((bias + z) / (1.0 - (*skew * (bias + z))))); };
  return Interval{quantile(sorted, share(tail)), quantile(sorted, share(-tail))};
}

BootstrapInterval interval(const Sample& sample, std::span<const double> sorted, double confidence) {
  const double tail = (1.0 - confidence) / 2.0;
  return {sample.mean(),
          {quantile(sorted, tail), quantile(sorted, 1.0 - tail)},
          bca(sample, sorted, confidence),
          sample.clusters.size(),
          sorted.size()};
}

}  // namespace

Result<BootstrapInterval> bootstrap_mean(std::span<const double> differences, std::span<const std::size_t> clusters,
                                         const BootstrapOptions& options) {
  BH_TRY(const auto sample, read(differences, clusters, options.confidence));
  if (options.resamples == 0)
    return Error{ErrorCode::kUsage, "0 resamples, at least 1 is needed", "resamples", "10000 is usual"};
  RandomDraws draws(options.seed);
  const auto means = resampled_means(sample, options.resamples, [&] { return draws.index(sample.clusters.size()); });
  return interval(sample, means, options.confidence);
}

Result<BootstrapInterval> bootstrap_mean(std::span<const double> differences, std::span<const std::size_t> clusters,
                                         std::span<const std::size_t> indices, double confidence) {
  BH_TRY(const auto sample, read(differences, clusters, confidence));
  const std::size_t n = sample.clusters.size();
  if (indices.empty() || indices.size() % n != 0) {
    return Error{ErrorCode::kUsage,
                 fmt::format("{} indices, they must be a multiple of the {} clusters", indices.size(), n), "indices",
                 ""};
  }
  if (const auto largest = std::ranges::max(indices); largest >= n)
    return Error{ErrorCode::kUsage, fmt::format("index {}, there are {} clusters", largest, n), "indices", ""};
  auto next = indices.begin();
  const auto means = resampled_means(sample, indices.size() / n, [&] { return *next++; });
  return interval(sample, means, confidence);
}

}  // namespace bulkhead::measure
