// SPDX-License-Identifier: MIT
#include "report/csv_line.h"

#include "report/view.h"

#include <fmt/format.h>

namespace bulkhead::report {
namespace {

std::string quoted(const std::string& value) {
  std::string line = one_line(value);
  if (line.find_first_of("\",") == std::string::npos) return line;
  std::string out = "\"";
  for (const char byte : line) {
    out += byte;
    if (byte == '"') out += '"';
  }
  return out + '"';
}

}  // namespace

std::string csv_line(const std::vector<std::string>& values) {
  std::vector<std::string> cells;
  cells.reserve(values.size());
  for (const auto& value : values) cells.push_back(quoted(value));
  return fmt::format("{}\n", fmt::join(cells, ","));
}

}  // namespace bulkhead::report
