// SPDX-License-Identifier: MIT
#include "report/html_text.h"

#include "base/utf8.h"

namespace bulkhead::report {

std::string html_escaped(std::string_view value) {
  std::string out;
  for (const char byte : to_valid_utf8(value)) {
    switch (byte) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += byte;
    }
  }
  return out;
}

}  // namespace bulkhead::report
