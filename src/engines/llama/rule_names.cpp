// SPDX-License-Identifier: MIT
#include "engines/llama/rule_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

namespace bulkhead::engines::llama {
namespace {

constexpr std::size_t kLongestRuleName = 40;
constexpr std::string_view kDefines = " ::= ";

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-';
}

std::set<std::string_view> names_in(std::string_view rules) {
  std::set<std::string_view> names;
  for (std::size_t line = 0; line < rules.size(); line = std::min(rules.find('\n', line), rules.size() - 1) + 1) {
    const auto end = rules.find(kDefines, line);
    if (end < rules.find('\n', line)) names.insert(rules.substr(line, end - line));
  }
  return names;
}

std::map<std::string_view, std::string> short_names_for(const std::set<std::string_view>& names) {
  std::map<std::string_view, std::string> shorter;
  std::size_t number = 0;
  for (const auto name : names) {
    if (name.size() <= kLongestRuleName) continue;
    std::string candidate;
    do candidate = fmt::format("rule-{}", ++number);
    while (names.contains(candidate));
    shorter.emplace(name, std::move(candidate));
  }
  return shorter;
}

// Behind a text in quotes or a class in brackets that begins at `at`.
std::size_t behind_quoted(std::string_view rules, std::size_t at) {
  const char end = rules[at] == '"' ? '"' : ']';
  for (++at; at < rules.size() && rules[at] != end; ++at) at += rules[at] == '\\' ? 1U : 0U;
  return std::min(at + 1, rules.size());
}

}  // namespace

std::string with_short_names(std::string_view rules) {
  const auto shorter = short_names_for(names_in(rules));
  if (shorter.empty()) return std::string(rules);
  std::string changed;
  for (std::size_t at = 0; at < rules.size();) {
    const auto begin = at;
    if (rules[at] == '"' || rules[at] == '[') {
      at = behind_quoted(rules, at);
    } else if (is_name_character(rules[at])) {
      while (at < rules.size() && is_name_character(rules[at])) ++at;
      if (const auto found = shorter.find(rules.substr(begin, at - begin)); found != shorter.end()) {
        changed += found->second;
        continue;
      }
    } else {
      ++at;
    }
    changed += rules.substr(begin, at - begin);
  }
  return changed;
}

}  // namespace bulkhead::engines::llama
