// SPDX-License-Identifier: MIT
#include "measure/quantile.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace bulkhead::measure {

double quantile(std::span<const double> sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(std::floor(at));
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + ((at - std::floor(at)) * (sorted[high] - sorted[low]));
}

}  // namespace bulkhead::measure
