// SPDX-License-Identifier: MIT
// Placeholders: "{name}" with a name of lower-case letters and underscores. Other braces are plain text, and what is
// put in is never read for placeholders again.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::prompt {

// A run of a template: literal text, or a placeholder's name.
struct TemplatePart {
  std::string text;
  bool placeholder = false;
};

[[nodiscard]] std::vector<TemplatePart> template_parts(std::string_view text);

// The first placeholder of `text` that is not in `known`, if any.
[[nodiscard]] std::optional<std::string> unknown_placeholder(std::string_view text,
                                                             std::initializer_list<std::string_view> known);

// `text` with its placeholders replaced; those without a value stay as they are.
[[nodiscard]] std::string fill(std::string_view text, const std::map<std::string, std::string, std::less<>>& values);

}  // namespace bulkhead::prompt
