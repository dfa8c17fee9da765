// SPDX-License-Identifier: MIT
#include "measure/holm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace bulkhead::measure {

Result<std::vector<double>> holm_adjusted(std::span<const double> p) {
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] >= 0.0 && p[i] <= 1.0) continue;
    return Error{ErrorCode::kBadInput, fmt::format("{} is no probability", p[i]), fmt::format("p[{}]", i), ""};
  }
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return p[i]; });
  std::vector<double> adjusted(p.size());
  double least = 0.0;  // an adjusted p is never below that of a smaller p
  for (std::size_t k = 0; k < order.size(); ++k) {
    least = std::max(least, std::min(1.0, static_cast<double>(order.size() - k) * p[order[k]]));
    adjusted[order[k]] = least;
  }
  return adjusted;
}

}  // namespace bulkhead::measure
