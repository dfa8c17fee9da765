// SPDX-License-Identifier: MIT
// Five numbers that describe many.
#pragma once

#include <cstddef>
#include <span>

namespace bulkhead::measure {

struct Summary {
  std::size_t n = 0;
  double min = 0.0;
  double median = 0.0;
  double mean = 0.0;
  double p95 = 0.0;
  double max = 0.0;
};

// In the unit of `values`, in any order. Quantiles are interpolated linearly between neighbours (R's type 7). All zero
// when there are none.
[[nodiscard]] Summary summarize(std::span<const double> values);

}  // namespace bulkhead::measure
