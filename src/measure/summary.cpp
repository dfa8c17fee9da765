// SPDX-License-Identifier: MIT
#include "measure/summary.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace bulkhead::measure {
namespace {

double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(std::floor(at));
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + ((at - std::floor(at)) * (sorted[high] - sorted[low]));
}

}  // namespace

Summary summarize(std::span<const double> values) {
  if (values.empty()) return {};
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  Summary summary;
  summary.n = sorted.size();
  summary.min = sorted.front();
  summary.median = quantile(sorted, 0.5);
  summary.mean = std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size());
  summary.p95 = quantile(sorted, 0.95);
  summary.max = sorted.back();
  return summary;
}

}  // namespace bulkhead::measure
