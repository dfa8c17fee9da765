// SPDX-License-Identifier: MIT
// Text and tables in Markdown. What came from a scenario or a model can become neither markup nor HTML.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::report {

// Backslashes before what Markdown, tables, maths or HTML could take for theirs. Line breaks are left alone.
[[nodiscard]] std::string markdown_escaped(std::string_view value);
[[nodiscard]] std::string markdown_cell(std::string_view value);  // escaped, on one line

[[nodiscard]] std::string table_row(const std::vector<std::string>& cells);
// Titles and rule; `right` columns at the end are numbers.
[[nodiscard]] std::string table_head(const std::vector<std::string>& titles, std::size_t right);

}  // namespace bulkhead::report
