// SPDX-License-Identifier: MIT
#include "measure/whitespace.h"

#include <array>
#include <cstddef>

namespace bulkhead::measure {
namespace {

// U+0085, U+00A0, U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F, U+3000 in UTF-8.
constexpr std::array<std::string_view, 19> kWide = {
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83",
    "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A",
    "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};

// Bytes of the white-space character with which `text` begins; 0 when it begins with another.
std::size_t whitespace_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return first == ' ' || (first >= '\t' && first <= '\r') || (first >= 0x1C && first <= 0x1F) ? 1 : 0;
  for (const auto space : kWide)
    if (text.starts_with(space)) return space.size();
  return 0;
}

}  // namespace

std::vector<std::string_view> split_at_whitespace(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t space = whitespace_length(text.substr(at));
    if (space == 0) {
      ++at;
      continue;
    }
    if (at > begin) words.push_back(text.substr(begin, at - begin));
    at += space;
    begin = at;
  }
  if (begin < text.size()) words.push_back(text.substr(begin));
  return words;
}

std::string_view without_trailing_whitespace(std::string_view text) {
  const auto words = split_at_whitespace(text);
  if (words.empty()) return {};
  const auto end = static_cast<std::size_t>(words.back().data() - text.data()) + words.back().size();
  return text.substr(0, end);
}

}  // namespace bulkhead::measure
