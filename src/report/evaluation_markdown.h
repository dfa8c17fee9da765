// SPDX-License-Identifier: MIT
// The report of an evaluation as a document to read, and as records.
#pragma once

#include "base/json.h"

#include <string>

namespace bulkhead::report {

// CommonMark with tables: verdicts, endpoints by condition, differences with intervals, cuts, costs, facts.
[[nodiscard]] std::string evaluation_markdown(const Json& evaluation);

// CSV (RFC 4180): a header line, then one line for each comparison with semantic, of all conversations and of each cut.
[[nodiscard]] std::string evaluation_csv(const Json& evaluation);

}  // namespace bulkhead::report
