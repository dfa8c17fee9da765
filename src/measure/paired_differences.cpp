// SPDX-License-Identifier: MIT
#include "measure/paired_differences.h"

#include <fmt/format.h>

#include <cmath>
#include <unordered_map>

namespace bulkhead::measure {

Result<void> check_differences(std::span<const double> differences) {
  if (differences.empty())
    return Error{ErrorCode::kBadInput, "no differences, at least one is needed", "differences", ""};
  for (std::size_t i = 0; i < differences.size(); ++i) {
    if (std::isfinite(differences[i])) continue;
    return Error{ErrorCode::kBadInput, fmt::format("{} is not a finite number", differences[i]),
                 fmt::format("differences[{}]", i), "leave pairs without a score out, and count them"};
  }
  return {};
}

Result<std::vector<ClusterSum>> sum_by_cluster(std::span<const double> differences,
                                               std::span<const std::size_t> clusters) {
  BH_CHECK(check_differences(differences));
  if (!clusters.empty() && clusters.size() != differences.size()) {
    return Error{ErrorCode::kBadInput,
                 fmt::format("{} clusters for {} differences", clusters.size(), differences.size()), "clusters", ""};
  }
  std::vector<ClusterSum> sums;
  std::unordered_map<std::size_t, std::size_t> places;
  for (std::size_t i = 0; i < differences.size(); ++i) {
    const std::size_t place = clusters.empty() ? i : places.try_emplace(clusters[i], sums.size()).first->second;
    if (place == sums.size()) sums.emplace_back();
    sums[place].sum += differences[i];
    ++sums[place].count;
  }
  return sums;
}

Result<std::vector<double>> cluster_means(std::span<const double> differences, std::span<const std::size_t> clusters) {
  BH_TRY(const auto sums, sum_by_cluster(differences, clusters));
  std::vector<double> means;
  means.reserve(sums.size());
  for (const auto& [sum, count] : sums) means.push_back(sum / static_cast<double>(count));
  return means;
}

}  // namespace bulkhead::measure
