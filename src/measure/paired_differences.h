// SPDX-License-Identifier: MIT
// Differences of paired scores (condition minus control), grouped by the unit that was drawn: a conversation. Questions
// of one conversation are no independent observations; tests and intervals that take them for such are too sure of
// themselves (Miller 2024, arXiv 2411.00640).
//
// Everywhere in this room, `clusters[i]` is the number of the cluster of `differences[i]`, any number; an empty
// `clusters` makes every difference its own cluster.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <span>
#include <vector>

namespace bulkhead::measure {

struct ClusterSum {
  double sum = 0.0;
  std::size_t count = 0;  // at least 1
};

// kBadInput when there are none, or one is not a finite number.
[[nodiscard]] Result<void> check_differences(std::span<const double> differences);

// One for each cluster, in the order of first appearance. kBadInput as above, or when the two differ in length.
[[nodiscard]] Result<std::vector<ClusterSum>> sum_by_cluster(std::span<const double> differences,
                                                             std::span<const std::size_t> clusters);

// The mean difference of each cluster, in the order of first appearance: for tests that know no clusters. Errors as
// above.
[[nodiscard]] Result<std::vector<double>> cluster_means(std::span<const double> differences,
                                                        std::span<const std::size_t> clusters);

}  // namespace bulkhead::measure
