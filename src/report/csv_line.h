// SPDX-License-Identifier: MIT
// One record of a CSV file.
#pragma once

#include <string>
#include <vector>

namespace bulkhead::report {

// RFC 4180 quoting, ended with "\n". Line breaks in values become spaces, so that a line is always a record.
[[nodiscard]] std::string csv_line(const std::vector<std::string>& values);

}  // namespace bulkhead::report
