// SPDX-License-Identifier: MIT
#include "base/utf8.h"

#include <algorithm>

namespace bulkhead {
namespace {

struct Lead {
  std::size_t length;        // of the whole character, 0: not a lead byte
  unsigned char second_low;  // RFC 3629, section 4: the range of the second byte keeps out overlong forms
  unsigned char second_high;
};

Lead classify(unsigned char byte) noexcept {
  if (byte < 0x80) return {1, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Length of the valid character at the start of `text`; 0 if there is none. `cut_off` tells whether more bytes could
// mend it.
std::size_t character_length(std::string_view text, bool& cut_off) noexcept {
  cut_off = false;
  const Lead lead = classify(static_cast<unsigned char>(text[0]));
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i >= text.size()) {
      cut_off = true;
      return 0;
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    const unsigned char low = i == 1 ? lead.second_low : 0x80;
    const unsigned char high = i == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) return 0;
  }
  return lead.length;
}

// U+10FF80 to U+10FFFF: F4 8F BE/BF xx. They stand for the bytes 80 to FF.
constexpr std::string_view kEscapeLead = "\xF4\x8F";

std::optional<unsigned char> escaped_byte(std::string_view character) noexcept {
  if (character.size() != 4 || !character.starts_with(kEscapeLead)) return std::nullopt;
  const auto third = static_cast<unsigned char>(character[2]);
  if (third != 0xBE && third != 0xBF) return std::nullopt;
  return static_cast<unsigned char>((third == 0xBE ? 0x80 : 0xC0) | (static_cast<unsigned char>(character[3]) & 0x3FU));
}

void append_escaped(std::string& text, unsigned char byte) {
  text += kEscapeLead;
  text += byte < 0xC0 ? '\xBE' : '\xBF';
  text += static_cast<char>(0x80U | (byte & 0x3FU));
}

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) noexcept {
  bool cut_off = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text.substr(i), cut_off);
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

std::size_t unfinished_utf8_tail(std::string_view text) noexcept {
  const std::size_t longest = std::min<std::size_t>(3, text.size());
  for (std::size_t back = 1; back <= longest; ++back) {
    bool cut_off = false;
    const auto tail = text.substr(text.size() - back);
    if (character_length(tail, cut_off) == 0 && cut_off) return back;
  }
  return 0;
}

std::string to_valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  bool cut_off = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text.substr(i), cut_off);
    if (length == 0) {
      valid += "\xEF\xBF\xBD";
      ++i;
    } else {
      valid += text.substr(i, length);
      i += length;
    }
  }
  return valid;
}

std::string escape_bytes(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  bool cut_off = false;
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length = character_length(bytes.substr(i), cut_off);
    const auto character = bytes.substr(i, std::max<std::size_t>(length, 1));
    if (length == 0 || escaped_byte(character)) {
      for (const char byte : character) append_escaped(text, static_cast<unsigned char>(byte));
    } else {
      text += character;
    }
    i += character.size();
  }
  return text;
}

std::string unescape_bytes(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = escaped_byte(text.substr(i, 4));
    bytes += byte ? static_cast<char>(*byte) : text[i];
    i += byte ? 4U : 1U;
  }
  return bytes;
}

}  // namespace bulkhead
