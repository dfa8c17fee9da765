// SPDX-License-Identifier: MIT
#include "base/printable.h"

#include "base/utf8.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace bulkhead {
namespace {

TEST(Printable, OrdinaryTextOfAnyLanguageStays) {
  for (const std::string text :
       {"", "plain \\ text", "a\tb\nc", "caf\xC3\xA9 \xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80",
        "\xD8\xB9\xE2\x80\x8F \xE2\x80\x93 \xE2\x80\xA6 \xE2\x80\xAF \xC2\xA0 \xEF\xBC\x81"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, WhatSteersIsShownInPlaceOfDone) {
  EXPECT_EQ(printable("\x1b[2J\x07\x08\r\x7f"), "\\u001b[2J\\u0007\\u0008\\u000d\\u007f");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\u0000b");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m\xC2\x80\xC2\x9F\xC2\xA0"),
            "\\u009b31m\\u0080\\u009f\xC2\xA0");
  EXPECT_EQ(printable("\xE2\x80\xA7\xE2\x80\xA8\xE2\x80\xAE\xE2\x80\xAF"), "\xE2\x80\xA7\\u2028\\u202e\xE2\x80\xAF");
  EXPECT_EQ(printable("\xE2\x81\xA5\xE2\x81\xA6\xE2\x81\xA9\xE2\x81\xAA"), "\xE2\x81\xA5\\u2066\\u2069\xE2\x81\xAA");
  EXPECT_EQ(printable("\xEF\xBB\xBFx"), "\\ufeffx");
  EXPECT_EQ(printable("a\x9B"
                      "b\xFF\xC3"),
            "a\\x9bb\\xff\\xc3");
}

TEST(Printable, ALineStaysOneLineWhereAsked) {
  EXPECT_EQ(printable("a\nbulkhead: forged", LineBreaks::kEscape), "a\\nbulkhead: forged");
  EXPECT_EQ(printable("a\tb", LineBreaks::kEscape), "a\tb");
}

TEST(Printable, AnyBytesBecomeTextWithoutControls) {
  std::mt19937 generator(1);
  const std::string alphabet = "a\n\x1b\x7f\x80\x9B\xA8\xAE\xBB\xBF\xC2\xE2\x81\xEF\xF4\xFF";
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes;
    for (auto left = generator() % 10; left > 0; --left) bytes += alphabet[generator() % alphabet.size()];
    const auto shown = printable(bytes, LineBreaks::kEscape);
    ASSERT_FALSE(first_invalid_utf8(shown).has_value()) << shown;
    for (const char c : shown) ASSERT_GE(static_cast<unsigned char>(c), 0x20U);
    ASSERT_EQ(printable(shown, LineBreaks::kEscape), shown);
  }
}

}  // namespace
}  // namespace bulkhead
