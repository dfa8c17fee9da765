// SPDX-License-Identifier: MIT
#include "prompt/placeholders.h"

#include <algorithm>

namespace bulkhead::prompt {

std::vector<TemplatePart> template_parts(std::string_view text) {
  std::vector<TemplatePart> parts;
  const auto add_literal = [&](std::string_view run) {
    if (run.empty()) return;
    if (parts.empty() || parts.back().placeholder) parts.emplace_back();
    parts.back().text += run;
  };
  while (!text.empty()) {
    const auto open = std::min(text.find('{'), text.size());
    add_literal(text.substr(0, open));
    text.remove_prefix(open);
    if (text.empty()) break;
    const auto end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", 1);
    if (end == std::string_view::npos || end == 1 || text[end] != '}') {
      add_literal(text.substr(0, 1));
      text.remove_prefix(1);
    } else {
      parts.push_back({std::string(text.substr(1, end - 1)), true});
      text.remove_prefix(end + 1);
    }
  }
  return parts;
}

std::optional<std::string> unknown_placeholder(std::string_view text, std::initializer_list<std::string_view> known) {
  for (const auto& part : template_parts(text)) {
    if (part.placeholder && std::find(known.begin(), known.end(), part.text) == known.end()) return part.text;
  }
  return std::nullopt;
}

std::string fill(std::string_view text, const std::map<std::string, std::string, std::less<>>& values) {
  std::string filled;
  for (const auto& part : template_parts(text)) {
    const auto found = part.placeholder ? values.find(part.text) : values.end();
    if (found != values.end()) {
      filled += found->second;
    } else {
      filled += part.placeholder ? "{" + part.text + "}" : part.text;
    }
  }
  return filled;
}

}  // namespace bulkhead::prompt
