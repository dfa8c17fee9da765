// SPDX-License-Identifier: MIT
// Intervals of a proportion: `successes` of `trials` independent ones. Pure functions, for any thread.
#pragma once

#include "measure/interval.h"

#include <cstddef>

namespace bulkhead::measure {

// Clopper and Pearson 1934: covers the true share at least as often as its confidence says, so wide. From 0 to 1
// without trials. kUsage when there are more successes than trials or the confidence is outside (0, 1).
[[nodiscard]] Result<Interval> clopper_pearson(std::size_t successes, std::size_t trials, double confidence = 0.95);

// Wilson 1927: covers it about as often on average. The same errors.
[[nodiscard]] Result<Interval> wilson(std::size_t successes, std::size_t trials, double confidence = 0.95);

}  // namespace bulkhead::measure
