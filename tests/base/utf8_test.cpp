// SPDX-License-Identifier: MIT
#include "base/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>

namespace bulkhead {
namespace {

// The encoding of `code`, made without the code under test.
std::string encode(std::uint32_t code) {
  std::string text;
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | (code >> 6U));
    put(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    put(0xE0U | (code >> 12U));
    put(0x80U | ((code >> 6U) & 0x3FU));
    put(0x80U | (code & 0x3FU));
  } else {
    put(0xF0U | (code >> 18U));
    put(0x80U | ((code >> 12U) & 0x3FU));
    put(0x80U | ((code >> 6U) & 0x3FU));
    put(0x80U | (code & 0x3FU));
  }
  return text;
}

TEST(Utf8, EveryCodePointButTheSurrogatesIsValid) {
  for (std::uint32_t code = 0; code <= 0x10FFFF; ++code) {
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    ASSERT_EQ(first_invalid_utf8(encode(code)).has_value(), surrogate) << std::hex << code;
  }
  EXPECT_TRUE(first_invalid_utf8(encode(0x110000)).has_value());
}

TEST(Utf8, NamesTheFirstBadByte) {
  struct Case {
    std::string text;
    std::size_t at;
  };
  const Case cases[] = {
      {"ab\x80", 2},            // continuation without a lead
      {"\xC0\x80", 0},          // overlong NUL
      {"x\xC1\xBF", 1},         // overlong DEL
      {"\xE0\x9F\xBF", 0},      // overlong three bytes
      {"\xF0\x8F\xBF\xBF", 0},  // overlong four bytes
      {"a\xED\xA0\x80", 1},     // high surrogate
      {"a\xED\xBF\xBF", 1},     // low surrogate
      {"\xF4\x90\x80\x80", 0},  // above U+10FFFF
      {"\xF5\x80\x80\x80", 0},  // no such lead
      {"\xFF", 0},
      {"\xC3\xA9\xC3", 2},  // cut
      {"\xE2\x82", 0},      // cut
      {"\xE2\x28\xA1", 0},  // broken in the middle
      {"\xF0\x9F\x98", 0},  // cut
  };
  for (const auto& wrong : cases) EXPECT_EQ(first_invalid_utf8(wrong.text), wrong.at) << wrong.text;
  EXPECT_EQ(first_invalid_utf8(""), std::nullopt);
  EXPECT_EQ(first_invalid_utf8(std::string("a\0b", 3)), std::nullopt);
}

TEST(Utf8, AnUnfinishedTailIsAsLongAsWhatIsThereOfTheCharacter) {
  for (const std::uint32_t code : {0xE9U, 0x20ACU, 0xFFFDU, 0x1F600U, 0x10FFFFU}) {
    const auto character = encode(code);
    for (std::size_t cut = 1; cut < character.size(); ++cut) {
      EXPECT_EQ(unfinished_utf8_tail("text " + character.substr(0, cut)), cut) << std::hex << code;
      EXPECT_EQ(unfinished_utf8_tail(character.substr(0, cut)), cut) << std::hex << code;
    }
    EXPECT_EQ(unfinished_utf8_tail("text " + character), 0U);
  }
  EXPECT_EQ(unfinished_utf8_tail(""), 0U);
  EXPECT_EQ(unfinished_utf8_tail("abc"), 0U);
}

TEST(Utf8, ATailThatNothingCanMendIsNotUnfinished) {
  for (const auto* text :
       {"\x80", "\xBF\xBF", "\xE0\x80", "\xED\xA0", "\xF4\x90", "\xF5", "\xC3\xA9\xBF", "\xE2\x28"}) {
    EXPECT_EQ(unfinished_utf8_tail(text), 0U) << text;
  }
}

TEST(Utf8, BadBytesAreReplacedOneByOne) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(to_valid_utf8("plain \xC3\xA9"), "plain \xC3\xA9");
  EXPECT_EQ(to_valid_utf8("a\xFFz"), "a" + mark + "z");
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), mark + mark + mark);
  EXPECT_EQ(to_valid_utf8("\xE2\x82"), mark + mark);
  EXPECT_EQ(to_valid_utf8("\xE2\x82"
                          "A"),
            mark + mark + "A");
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(first_invalid_utf8(to_valid_utf8(std::string(3, static_cast<char>(byte)))), std::nullopt) << byte;
  }
}

TEST(EscapeBytes, ComesBackForAnyBytesAndLeavesUtf8Alone) {
  EXPECT_EQ(escape_bytes("a/\xC3\xA9/\xF0\x9F\x98\x80"), "a/\xC3\xA9/\xF0\x9F\x98\x80");
  EXPECT_EQ(escape_bytes("a\xFF"
                         "b"),
            "a\xF4\x8F\xBF\xBF"
            "b");
  EXPECT_EQ(escape_bytes("\x80"), "\xF4\x8F\xBE\x80");
  EXPECT_EQ(unescape_bytes("\xF4\x8F\xBE\x80"), "\x80");
  std::mt19937 generator(1);
  const std::string alphabet = "a\x80\xBE\xBF\xC0\xC3\xE2\xF4\x8F\xFF";
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes;
    for (auto left = generator() % 12; left > 0; --left) bytes += alphabet[generator() % alphabet.size()];
    const auto text = escape_bytes(bytes);
    EXPECT_FALSE(first_invalid_utf8(text).has_value());
    ASSERT_EQ(unescape_bytes(text), bytes);
  }
}

}  // namespace
}  // namespace bulkhead
