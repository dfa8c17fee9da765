// SPDX-License-Identifier: MIT
// The report as a document to read: report.md.
#pragma once

#include "base/json.h"

#include <string>

namespace bulkhead::report {

// CommonMark with tables. Verdicts, terms and times first, then the details of every run. Text that came from a
// scenario or a model is escaped: it can become neither markup nor HTML. Foreign terms are bold.
[[nodiscard]] std::string to_markdown(const Json& results);

}  // namespace bulkhead::report
