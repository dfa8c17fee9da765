// SPDX-License-Identifier: MIT
#include "measure/mcnemar.h"

#include "measure/distributions.h"

#include <algorithm>

namespace bulkhead::measure {

double mcnemar_exact_p(std::size_t only_first, std::size_t only_second) {
  if (only_first + only_second == 0) return 1.0;
  return std::min(1.0, 2.0 * binomial_cdf(std::min(only_first, only_second), only_first + only_second, 0.5));
}

}  // namespace bulkhead::measure
