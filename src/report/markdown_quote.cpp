// SPDX-License-Identifier: MIT
#include "report/markdown_quote.h"

#include <fmt/format.h>

#include <algorithm>

namespace bulkhead::report {
namespace {

// A list, table or heading sign at the start of a line of quoted text is text.
std::string line_start_escaped(std::string line) {
  const auto first = line.find_first_not_of(" \t");
  if (first == std::string::npos) return {};
  line.erase(0, first);
  const auto digits = line.find_first_not_of("0123456789");
  if (line[0] == '-' || line[0] == '+' || line[0] == '=') {
    line.insert(0, "\\");
  } else if (digits != 0 && digits != std::string::npos && (line[digits] == '.' || line[digits] == ')')) {
    line.insert(digits, "\\");
  }
  return line;
}

}  // namespace

std::string markdown_quote(const std::string& markdown) {
  std::string out;
  std::size_t at = 0;
  while (at < markdown.size()) {
    const std::size_t end = std::min(markdown.find('\n', at), markdown.size());
    const std::string line = line_start_escaped(markdown.substr(at, end - at));
    const bool broken = end + 1 < markdown.size() && markdown[end + 1] != '\n' && !line.empty();
    out += line.empty() ? ">\n" : fmt::format("> {}{}\n", line, broken ? "\\" : "");
    at = end + 1;
  }
  return out.empty() ? "> (nothing)\n" : out;
}

}  // namespace bulkhead::report
