// SPDX-License-Identifier: MIT
// An interval of confidence.
#pragma once

#include "base/result.h"

namespace bulkhead::measure {

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

// kUsage unless 0 < confidence < 1.
[[nodiscard]] Result<void> check_confidence(double confidence);

}  // namespace bulkhead::measure
