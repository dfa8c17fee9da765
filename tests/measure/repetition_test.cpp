// SPDX-License-Identifier: MIT
#include "measure/repetition.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace bulkhead::measure {
namespace {

TEST(Repetition, DistinctNgrams) {
  EXPECT_EQ(distinct_ngrams("a b c d", 1), 1.0);
  EXPECT_EQ(distinct_ngrams("a b a b", 1), 0.5);
  EXPECT_EQ(distinct_ngrams("a b a b", 2), 2.0 / 3.0);
  EXPECT_EQ(distinct_ngrams("a a a a a", 2), 0.25);
  EXPECT_EQ(distinct_ngrams("a\n a", 2), 1.0);
  EXPECT_EQ(distinct_ngrams("a", 2), std::nullopt);
  EXPECT_EQ(distinct_ngrams("", 1), std::nullopt);
  EXPECT_EQ(distinct_ngrams("a b", 0), std::nullopt);
}

TEST(Repetition, LongestSpan) {
  EXPECT_EQ(longest_repeated_span("").words, 0U);
  EXPECT_EQ(longest_repeated_span("all words differ here").words, 0U);
  const std::string text = "the pump failed and so  the pump failed again";
  const auto span = longest_repeated_span(text);
  EXPECT_EQ(span.words, 3U);
  EXPECT_EQ(span.text, "the pump failed");
  EXPECT_EQ(span.text.data(), text.data());
}

// By white space it would be one word, and so without any repetition.
TEST(Repetition, ScriptsWithoutSpacesHaveWordsToo) {
  const std::string quiet = "\u871c\u8702\u5f88\u5b89\u9759\u3002";  // bees, very, quiet
  EXPECT_EQ(distinct_ngrams(quiet + quiet, 1), 0.5);
  EXPECT_EQ(longest_repeated_span(quiet + quiet).words, 3U);
  EXPECT_EQ(longest_repeated_span(quiet + quiet).text, quiet);
  EXPECT_EQ(distinct_ngrams("API\u3092 API\u3092", 1), 0.5);
}

TEST(Repetition, OccurrencesDoNotOverlap) {
  EXPECT_EQ(longest_repeated_span("go").words, 0U);
  EXPECT_EQ(longest_repeated_span("go go").words, 1U);
  EXPECT_EQ(longest_repeated_span("go go go go go").words, 2U);
  EXPECT_EQ(longest_repeated_span("a b a b a").words, 2U);
}

TEST(Repetition, AsTryingAllSpans) {
  std::mt19937 random(4);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> words(random() % 14);
    std::string text;
    for (auto& word : words) text += (word = std::string(1, static_cast<char>('a' + random() % 3))) + " ";
    std::size_t longest = 0;
    for (std::size_t length = 1; 2 * length <= words.size(); ++length)
      for (std::size_t i = 0; i + (2 * length) <= words.size(); ++i)
        for (std::size_t j = i + length; j + length <= words.size(); ++j)
          if (std::equal(words.begin() + static_cast<std::ptrdiff_t>(i),
                         words.begin() + static_cast<std::ptrdiff_t>(i + length),
                         words.begin() + static_cast<std::ptrdiff_t>(j)))
            longest = length;
    EXPECT_EQ(longest_repeated_span(text).words, longest) << text;
  }
}

}  // namespace
}  // namespace bulkhead::measure
