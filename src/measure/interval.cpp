// SPDX-License-Identifier: MIT
#include "measure/interval.h"

#include <fmt/format.h>

namespace bulkhead::measure {

Result<void> check_confidence(double confidence) {
  if (confidence > 0.0 && confidence < 1.0) return {};
  return Error{ErrorCode::kUsage, fmt::format("a confidence of {}, it must lie between 0 and 1", confidence),
               "confidence", "0.95 is usual"};
}

}  // namespace bulkhead::measure
