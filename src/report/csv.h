// SPDX-License-Identifier: MIT
// One line per output, for spreadsheets and scripts.
#pragma once

#include "base/json.h"

#include <string>

namespace bulkhead::report {

// A header line, then one line per output in the order of the document; RFC 4180 quoting, lines end with "\n". Line
// breaks in values become spaces, so that a line is always a record. Output texts are left out: samples.jsonl has them.
[[nodiscard]] std::string to_csv(const Json& results);

}  // namespace bulkhead::report
