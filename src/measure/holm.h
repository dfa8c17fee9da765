// SPDX-License-Identifier: MIT
// Holm's correction for several tests (Holm 1979).
#pragma once

#include "base/result.h"

#include <span>
#include <vector>

namespace bulkhead::measure {

// The adjusted p of each, in the order given: comparing them with alpha keeps the chance of any false rejection below
// alpha, whatever the tests have to do with one another. kBadInput, naming the place, when a p is not within 0 and 1.
[[nodiscard]] Result<std::vector<double>> holm_adjusted(std::span<const double> p);

}  // namespace bulkhead::measure
