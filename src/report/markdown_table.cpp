// SPDX-License-Identifier: MIT
#include "report/markdown_table.h"

#include "base/utf8.h"
#include "report/view.h"

#include <fmt/format.h>

namespace bulkhead::report {

std::string markdown_escaped(std::string_view value) {
  std::string out;
  for (const char byte : to_valid_utf8(value)) {
    const auto code = static_cast<unsigned char>(byte);
    if (byte == '<') {
      out += "&lt;";
    } else if (byte == '&') {
      out += "&amp;";
    } else if (std::string_view("\\`*_[]>|~$#").find(byte) != std::string_view::npos) {
      out += '\\';
      out += byte;
    } else {
      out += code < 0x20U && byte != '\n' ? ' ' : byte;
    }
  }
  return out;
}

std::string markdown_cell(std::string_view value) {
  return markdown_escaped(one_line(value));
}

std::string table_row(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

std::string table_head(const std::vector<std::string>& titles, std::size_t right) {
  std::string rule = "|";
  for (std::size_t i = 0; i < titles.size(); ++i) rule += i + right >= titles.size() ? "---:|" : "---|";
  return table_row(titles) + rule + "\n";
}

}  // namespace bulkhead::report
