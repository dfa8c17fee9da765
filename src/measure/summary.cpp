// SPDX-License-Identifier: MIT
#include "measure/summary.h"

#include "measure/quantile.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace bulkhead::measure {

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
