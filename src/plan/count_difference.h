// SPDX-License-Identifier: MIT
// Count difference: why the same conversation has different token counts in two formats, by its parts.
#pragma once

#include "base/result.h"
#include "plan/plan.h"

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::plan {

struct CountPart {
  std::string reason;       // "BOS tokens: 1 against 15"
  std::int64_t tokens = 0;  // tokens of the second format minus those of the first, never 0
};

// One context without its prompts and messages, in both formats. Invariant: the parts' sum is second - first.
struct CountDifference {
  std::string condition;
  std::string context;  // within the condition: "all", or a cluster id
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  std::vector<CountPart> parts;
};

// In the order of the plans' contexts. kUsage when the plans are not of one scenario and the same conditions.
[[nodiscard]] Result<std::vector<CountDifference>> count_differences(const Plan& first, const Plan& second);

}  // namespace bulkhead::plan
