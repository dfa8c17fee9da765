// SPDX-License-Identifier: MIT
// The table of `bulkhead run` on a terminal.
#pragma once

#include "base/json.h"

#include <string>

namespace bulkhead::report {

// One table per scenario, at most 100 columns wide, UTF-8, without colours and control characters. Ends with a newline.
[[nodiscard]] std::string to_table(const Json& results);

}  // namespace bulkhead::report
