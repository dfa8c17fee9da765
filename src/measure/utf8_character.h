// SPDX-License-Identifier: MIT
// One character of a text in UTF-8, wherever a measure walks through one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bulkhead::measure {

struct Utf8Character {
  std::uint32_t code = 0;
  std::size_t bytes = 1;
};

// Decodes the character at `at`. An invalid byte is U+FFFD, one byte long.
[[nodiscard]] inline Utf8Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(at);
  std::size_t length = 1;
  std::uint32_t code = first;
  if (first >= 0xF0U && first < 0xF8U) {
    length = 4;
    code = first & 0x07U;
  } else if (first >= 0xE0U && first < 0xF0U) {
    length = 3;
    code = first & 0x0FU;
  } else if (first >= 0xC0U && first < 0xE0U) {
    length = 2;
    code = first & 0x1FU;
  } else if (first >= 0x80U) {
    return {0xFFFDU, 1};
  }
  if (at + length > text.size()) return {0xFFFDU, 1};
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return {0xFFFDU, 1};
    code = (code << 6U) | (byte(at + i) & 0x3FU);
  }
  return {code, length};
}

}  // namespace bulkhead::measure
