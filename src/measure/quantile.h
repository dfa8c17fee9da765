// SPDX-License-Identifier: MIT
// The quantile of a sample.
#pragma once

#include <span>

namespace bulkhead::measure {

// The value below which a share (0 to 1) of `sorted` lies, interpolated linearly between neighbours: R's type 7 and
// NumPy's default (Hyndman and Fan 1996). `sorted` ascends and is not empty.
[[nodiscard]] double quantile(std::span<const double> sorted, double share);

}  // namespace bulkhead::measure
