// SPDX-License-Identifier: MIT
// What each number of the options may be: one table for the program's flags, the API and what workers are asked.
#pragma once

#include "base/result.h"

#include <bulkhead/options.h>

#include <string_view>

namespace bulkhead::engine {

// A field of SamplingOptions or ModelOptions by its name, such as "top_p".
struct OptionBound {
  std::string_view field;
  double least;  // both are allowed
  double most;
  std::string_view range;  // the same in words
};

// The bound of `field`, which must be in the table (else the program ends: a defect).
[[nodiscard]] const OptionBound& bound_of(std::string_view field) noexcept;

// kUsage, naming field, value and range, when `value` lies outside; NaN always does.
[[nodiscard]] Result<void> check_bound(std::string_view field, double value);

[[nodiscard]] Result<void> check_bounds(const SamplingOptions& options);
[[nodiscard]] Result<void> check_bounds(const ModelOptions& options);

}  // namespace bulkhead::engine
