// SPDX-License-Identifier: MIT
#include "serve/text_stream.h"

#include "base/utf8.h"
#include "engine/generation.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace bulkhead::serve {
namespace {

TEST(TextStream, HoldsBackWhatAStopStringMayCutOff) {
  TextStream stream({"###"});
  EXPECT_EQ(stream.append("one #"), "one ");
  EXPECT_EQ(stream.append("#"), "");
  EXPECT_EQ(stream.append(" two"), "## two") << "it was none";
  EXPECT_EQ(stream.append("##"), "");
  EXPECT_EQ(stream.append("# three"), "");
  EXPECT_EQ(stream.finish("one ## two"), "");
}

TEST(TextStream, HoldsBackHalfACharacter) {
  TextStream stream({});
  EXPECT_EQ(stream.append("a\xC3"), "a");
  EXPECT_EQ(stream.append("\xA4"), "\xC3\xA4");
  EXPECT_EQ(stream.append("\xF0\x9F"), "");
  EXPECT_EQ(stream.finish("a\xC3\xA4"), "") << "the text has no half";
}

TEST(TextStream, GivesWhatStopStringsHeldBackAtTheEnd) {
  TextStream stream({"END"});
  EXPECT_EQ(stream.append("the EN"), "the ");
  EXPECT_EQ(stream.finish("the EN"), "EN");
}

// Random bytes in random pieces, with stop strings among them: what was sent, and the rest, are the text.
TEST(TextStream, SendsTheTextAndNothingElse) {
  std::mt19937 random(5);
  const std::vector<std::string> kPieces = {"a",    "b", "ab", "\xC3", "\xA4", "\xC3\xA4", "\xF0\x9F\x98\x80",
                                            "\xFF", " "};
  for (int round = 0; round < 3000; ++round) {
    const std::vector<std::string> stops = {round % 3 == 0 ? "bab" : "aba\xC3\xA4", "bb"};
    engine::GeneratedText generated(stops);
    TextStream stream(stops);
    std::string sent;
    bool stopped = false;
    for (int i = 0; i < 20 && !stopped; ++i) {
      const auto& piece = kPieces[random() % kPieces.size()];
      stopped = generated.append(piece);
      sent += stream.append(piece);
    }
    const auto text = generated.text();
    ASSERT_TRUE(text.starts_with(sent)) << round;
    EXPECT_EQ(sent + stream.finish(text), text) << round;
    EXPECT_FALSE(first_invalid_utf8(sent).has_value());
  }
}

}  // namespace
}  // namespace bulkhead::serve
