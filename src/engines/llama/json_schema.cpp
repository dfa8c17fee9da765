// SPDX-License-Identifier: MIT
#include "engines/llama/json_schema.h"

#include "engines/llama/assertions.h"
#include "engines/llama/rule_names.h"

#include <fmt/format.h>
#include <json-schema-to-grammar.h>

#include <algorithm>
#include <array>
#include <exception>
#include <string_view>

namespace bulkhead::engines::llama {
namespace {

// Rules know nothing of these.
constexpr std::array<std::string_view, 18> kNotHeld = {
    "not",           "if",          "then",        "else",         "dependentRequired",     "dependentSchemas",
    "propertyNames", "contains",    "minContains", "maxContains",  "patternProperties",     "minProperties",
    "maxProperties", "uniqueItems", "multipleOf",  "dependencies", "unevaluatedProperties", "unevaluatedItems"};

// The converter recurses by the members of an object, and by the characters of their names.
constexpr std::size_t kMostSchemaMembers = 256;
constexpr std::size_t kMostSchemaName = 256;

Error wrong_schema(std::string why, std::string place) {
  return {ErrorCode::kBadInput, "the JSON schema: " + std::move(why), std::move(place), {}};
}

bool is_plain(char c) {
  constexpr std::string_view kSigns = " _-,:;@#%&=/!'<>~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kSigns.find(c) != std::string_view::npos;
}

// The end of "{2}", "{2,}" or "{2,5}" that begins at `at`; npos: it is none.
std::size_t end_of_count(std::string_view text, std::size_t at) {
  const auto end = text.find('}', at);
  if (end == std::string_view::npos) return end;
  const auto inside = text.substr(at + 1, end - at - 1);
  const auto comma = inside.find(',');
  const auto is_number = [](std::string_view digits) {
    return digits.size() <= 4 && digits.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const bool right = !inside.substr(0, comma).empty() && is_number(inside.substr(0, comma)) &&
                     (comma == std::string_view::npos || is_number(inside.substr(comma + 1)));
  return right ? end : std::string_view::npos;
}

// Of a class that begins at `at`: letters, digits, signs and ranges of them.
std::size_t end_of_class(std::string_view text, std::size_t at) {
  auto end = at + 1;
  if (end < text.size() && text[end] == '^') ++end;
  const auto first = end;
  while (end < text.size() && (is_plain(text[end]) || text[end] == '.' || text[end] == '+')) ++end;
  return end < text.size() && end > first && text[end] == ']' ? end : std::string_view::npos;
}

// Whether the converter has rules for it: for every other expression it prints a warning and takes any string.
bool is_simple_pattern(std::string_view pattern) {
  constexpr std::string_view kEscaped = "^$.[]()|{}*+?";
  if (pattern.size() < 3 || pattern.front() != '^' || pattern.back() != '$') return false;
  pattern = pattern.substr(1, pattern.size() - 2);
  std::size_t open = 0;
  bool repeatable = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      if (++i >= pattern.size() || kEscaped.find(pattern[i]) == std::string_view::npos) return false;
      repeatable = true;
    } else if (c == '(' || c == '|') {
      open += c == '(' ? 1U : 0U;
      repeatable = false;
    } else if (c == ')') {
      if (open == 0) return false;
      --open;
      repeatable = true;
    } else if (c == '[' || c == '{') {
      if (c == '{' && !repeatable) return false;
      i = c == '[' ? end_of_class(pattern, i) : end_of_count(pattern, i);
      if (i == std::string_view::npos) return false;
      repeatable = c == '[';
    } else if (c == '*' || c == '+' || c == '?') {
      if (!repeatable) return false;
      repeatable = false;
    } else if (c == '.' || is_plain(c)) {
      repeatable = true;
    } else {
      return false;
    }
  }
  return open == 0;
}

Result<void> check_member(const std::string& name, const Json& value, bool strict, const std::string& place) {
  if (name == "pattern" && value.is_string() && !is_simple_pattern(value.get_ref<const std::string&>())) {
    return wrong_schema("a pattern must go from ^ to $, with letters, signs, (), |, [], ., *, +, ? and {}", place);
  }
  if (name == "$ref" && value.is_string()) {
    const auto& ref = value.get_ref<const std::string&>();
    if (ref.starts_with('#') && ref.size() <= kMostSchemaName) return {};
    return wrong_schema("$ref must point into the schema itself", place);
  }
  if (strict && std::ranges::find(kNotHeld, name) != kNotHeld.end()) {
    return wrong_schema(fmt::format("\"{}\" cannot be held, and it is to be strict", name), place);
  }
  return {};
}

// `names`: the keys of this object are names that the schema gives, not keywords.
Result<void> check_value(const Json& value, bool strict, bool names, const std::string& place, std::size_t depth) {
  if (depth > kMostSchemaDepth) {
    return wrong_schema(fmt::format("more than {} levels", kMostSchemaDepth), place.substr(0, 100));
  }
  if (value.is_array()) {
    for (const auto& one : value) BH_CHECK(check_value(one, strict, false, place, depth + 1));
  }
  if (!value.is_object()) return {};
  if (value.size() > kMostSchemaMembers) {
    return wrong_schema(fmt::format("{} members of one object, at most {}", value.size(), kMostSchemaMembers), place);
  }
  for (const auto& [name, member] : value.items()) {
    if (name.size() > kMostSchemaName) return wrong_schema("a name is too long", place + '.' + name.substr(0, 20));
    const auto here = place.empty() ? name : place + '.' + name;
    if (!names) BH_CHECK(check_member(name, member, strict, here));
    if (!names && (name == "const" || name == "enum" || name == "default" || name == "examples")) continue;
    const bool gives_names = !names && (name == "properties" || name == "$defs" || name == "definitions");
    BH_CHECK(check_value(member, strict, gives_names, here, depth + 1));
  }
  return {};
}

}  // namespace

Result<void> check_schema(const Json& schema, bool strict) {
  if (!schema.is_object() && !schema.is_boolean()) return wrong_schema("it must be an object", {});
  if (const auto bytes = json_text(schema).size(); bytes > kMostSchemaBytes) {
    return wrong_schema(fmt::format("it has {} bytes, at most {} are read", bytes, kMostSchemaBytes), {});
  }
  return check_value(schema, strict, false, {}, 0);
}

Result<std::string> grammar_of_schema(const Json& schema, bool strict) {
  BH_CHECK(check_schema(schema, strict));
  const AssertionScope assertions;
  try {
    return with_short_names(json_schema_to_grammar(common_json::parse(json_text(schema))));
  } catch (const std::exception& failure) {
    std::string_view why = failure.what();
    constexpr std::string_view kBefore = "JSON schema conversion failed:\n";
    if (why.starts_with(kBefore)) why.remove_prefix(kBefore.size());
    return wrong_schema(std::string(why), {});
  }
}

}  // namespace bulkhead::engines::llama
