// SPDX-License-Identifier: MIT
#include "measure/exact_answer.h"

#include "measure/answer_tokens.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace bulkhead::measure {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> texts_of(std::string_view text) {
  std::vector<std::string> texts;
  for (const auto& token : answer_tokens(text)) texts.push_back(token.text);
  return texts;
}

struct Pair {
  const char* text;
  const char* answer;
};

TEST(ExactAnswer, Occurs) {
  const std::vector<Pair> pairs{
      {"41", "41"},
      {"It is 41.", "41"},
      {"(41)", "41"},
      {"**41**", "41"},
      {"41, not 52", "41"},
      {"a 41-bed hospital", "41"},
      {"The answer:41", "41"},
      {"x = 41; y = 2", "41"},
      // numbers
      {"4,100 units", "4100"},
      {"4100 units", "4,100"},
      {"1'234'567", "1,234,567"},
      {"1\xC2\xA0"
       "234 and 1\xE2\x80\xAF"
       "234",
       "1234"},
      {"1,234.50", "1234.5"},
      {"0.50", "0.5"},
      {"only .5", "0.5"},
      {"5.0", "5"},
      {"1.2 million", "1200000"},
      {"1.25 thousand", "1250"},
      {"2 billion", "2,000,000,000"},
      {"0.0005 thousand", "0.5"},
      {"at -5 degrees", "-5"},
      {"at \xE2\x88\x92"
       "5",
       "-5"},
      {"+5", "5"},
      // joined digits
      {"at 10:30 sharp", "10:30"},
      {"09:05", "9:05"},
      {"3\xE2\x80\x93"
       "5 bar",
       "3-5 bar"},
      {"version 1.2.3 is out", "1.2.3"},
      {"the F-16 lands", "F-16"},
      {"code 0041", "0041"},
      // units
      {"5km", "5 km"},
      {"5 kilometers", "5 km"},
      {"5 KM", "5 km"},
      {"5-km run", "5 km"},
      {"41 bar", "41"},
      {"12.5%", "12.5 percent"},
      {"12.5 %", "12.5%"},
      {"$1,200", "1200 dollars"},
      {"1,200 USD", "$1200"},
      {"USD 1,200", "$1200"},
      {"$1.2m", "1,200,000 dollars"},
      {"$3bn", "$3 billion"},
      {"\xE2\x82\xAC"
       "40k",
       "EUR 40,000"},
      {"-$5", "-$5"},
      {"\xC2\xA3"
       "7",
       "7 GBP"},
      {"20\xC2\xB0"
       "C",
       "20 degrees Celsius"},
      {"20 \xC2\xB0"
       "C",
       "20 celsius"},
      {"90 km/h", "90 kilometres per hour"},
      {"3 mW", "3 milliwatts"},
      // dates
      {"on 3 May 2024", "2024-05-03"},
      {"on May 3, 2024", "3 May 2024"},
      {"on the 3rd of May, 2024", "May 3 2024"},
      {"May 3rd", "3 May"},
      {"on 03.05.2024", "2024-05-03"},
      {"2024/05/03", "3 May 2024"},
      {"Sept. 9", "9 September"},
      {"3 May 2024", "3 May"},
      {"3 May 2024", "May 2024"},
      {"9 sep 2024", "9 Sep"},
      // words
      {"the North Dock", "north dock"},
      {"north dock", "the North Dock"},
      {"It was Dr. Anna Lee's idea", "Dr Anna Lee"},
      {"O\xE2\x80\x99"
       "Brien",
       "O'Brien"},
      {"re-entry", "re entry"},
      {"M\xC3\xBCller & Co", "M\xC3\xBCller"},
      {"valve B12 leaks", "b12"},
      {"option A", "A"},
      {"\xE2\x80\x9CRedis\xE2\x80\x9D", "Redis"},
  };
  for (const auto& [text, answer] : pairs) EXPECT_TRUE(contains_answer(text, answer)) << answer << " in " << text;
}

TEST(ExactAnswer, DoesNotOccur) {
  const std::vector<Pair> pairs{
      {"414", "41"},
      {"141", "41"},
      {"41a", "41"},
      {"b41", "41"},
      {"4,141", "41"},
      {"41,000", "41"},
      {"41.5", "41"},
      {"0.41", "41"},
      {"-41", "41"},
      {"41", "-41"},
      {"41-45", "41"},
      {"41-45", "45"},
      {"41\xE2\x80\x93"
       "45",
       "45"},
      {"41/45", "41"},
      {"41:45", "41"},
      {"1.41.2", "41"},
      {"F-41", "41"},
      {"0041", "41"},
      {"41st", "41"},
      {"41,5", "41"},
      {"41 million", "41"},
      {"1,2345", "12345"},
      {"12 34", "1234"},
      {"1.5", "15"},
      {"41 psi", "41 bar"},
      {"41", "41 bar"},
      {"410 bar", "41 bar"},
      {"3 MW", "3 mW"},
      {"$5", "5 euros"},
      {"-$5", "$5"},
      {"$5m", "$5"},
      {"$5m", "5 metres"},
      {"90 km", "90 km/h"},
      {"20 \xC2\xB0"
       "F",
       "20 \xC2\xB0"
       "C"},
      {"3 May", "3 May 2024"},
      {"13 May 2024", "3 May 2024"},
      {"3 June 2024", "3 May 2024"},
      {"2024-05-03", "2024"},
      {"2024-05-03", "3"},
      {"3 May 2024", "2024"},
      {"May 2024", "3 May 2024"},
      {"3 may come", "3 May"},
      {"32 May", "3 May"},
      {"03/05/2024", "3 May 2024"},
      {"2024-13-03", "3 May 2024"},
      {"cached", "cache"},
      {"Annabel Lee", "Anna"},
      {"north of the dock", "north dock"},
      {"M\xC3\xBCller", "M"},
      {"a pump", "the"},
      {"", "41"},
      {"41", ""},
      {"?!", "?"},
  };
  for (const auto& [text, answer] : pairs) EXPECT_FALSE(contains_answer(text, answer)) << answer << " in " << text;
}

TEST(ExactAnswer, AllInOrderOfPlace) {
  const std::vector<std::string> answers{"52 bar", "41", "41 bar"};
  const std::string text = "First 52 bar, then 41 bar; 41 in all.";
  const auto hits = find_answers(text, answers);
  ASSERT_EQ(hits.size(), 3U);
  EXPECT_EQ(text.substr(hits[0].begin, hits[0].end - hits[0].begin), "52 bar");
  EXPECT_EQ(hits[1].answer, 2U);  // not also "41"
  EXPECT_EQ(hits[2].answer, 1U);
  EXPECT_EQ(text.substr(hits[2].begin), "41 in all.");
}

TEST(ExactAnswer, EqualAnswersAllCount) {
  const std::vector<std::string> answers{"$5", "5 dollars", "5"};
  const auto hits = find_answers("It costs $5.", answers);
  ASSERT_EQ(hits.size(), 2U);
  EXPECT_EQ(hits[0].answer, 0U);
  EXPECT_EQ(hits[1].answer, 1U);
  EXPECT_EQ(hits[0].begin, 9U);
  EXPECT_EQ(hits[0].end, 11U);
}

TEST(AnswerTokens, NormalForms) {
  EXPECT_THAT(texts_of("The pump costs $1,200.50 (05 units), 3rd floor"),
              ElementsAre("the", "pump", "costs", "1200.5", "dollar", "5", "units", "3rd", "floor"));
  EXPECT_THAT(texts_of("On 3 May 2024 at 09:30 and/or Redis/Postgres"),
              ElementsAre("on", "2024-5-3", "at", "9:30", "and", "or", "redis", "postgres"));
  EXPECT_THAT(texts_of("May I? In March 5 km."), ElementsAre("may", "i", "in", "march", "5", "kilometre"));
  EXPECT_THAT(texts_of(" ... "), IsEmpty());
}

// Every cut of a text with all kinds of tokens, and of its characters: nothing may be read beyond the end.
TEST(AnswerTokens, AnyCutOfAText) {
  const std::string text =
      "-$1,200.50m \xE2\x82\xAC"
      "5k 3rd of May, 2024 10:30am 20\xC2\xB0"
      "C 90 km/h O\xE2\x80\x99"
      "Brien\xE2\x80\x99s \xE2\x88\x92"
      "5 1\xE2\x80\xAF"
      "234 \xF0\x9F\x98\x80 M\xC3\xBCller 1.2.3 .5 F-16/x \xFF\xC3";
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    for (std::size_t end = begin; end <= text.size(); ++end) {
      const std::string part = text.substr(begin, end - begin);
      for (const auto& token : answer_tokens(part)) {
        EXPECT_LT(token.begin, token.end);
        EXPECT_LE(token.end, part.size());
      }
    }
  }
}

TEST(ExactAnswer, AnyScript) {
  EXPECT_TRUE(
      contains_answer("\u8702\u738b\u4e0d\u89c1\u4e86\uff0c\u871c\u8702\u7fa4\u5f88\u5b89\u9759", "\u871c\u8702"));
  EXPECT_FALSE(contains_answer("\u6771\u4eac\u90fd", "\u4eac\u90fd")) << "Kyoto is not in Tokyo-to";
  EXPECT_TRUE(contains_answer("\u6e29\u5ea6\u662f41\u5ea6", "41")) << "a number between Chinese words";
  EXPECT_TRUE(contains_answer("\u6e29\u5ea6\u662f41 \u5ea6", "41\u5ea6"));
  EXPECT_FALSE(contains_answer("\u662f414\u5ea6", "41"));
  EXPECT_TRUE(contains_answer("API\u3092\u4f7f\u3046", "api"));
  EXPECT_TRUE(contains_answer("\uc5ec\uc655\ubc8c\uc774 41\ub3c4\uc5d0\uc11c", "\uc5ec\uc655\ubc8c"));
  EXPECT_TRUE(contains_answer("\uc5ec\uc655\ubc8c\uc774 41\ub3c4\uc5d0\uc11c", "41"));
  EXPECT_TRUE(contains_answer("Zu M\u00dcLLER gehen", "Mu\u0308ller"));
  EXPECT_FALSE(contains_answer("Zu M\u00dcLLERS gehen", "M\u00fcller"));
}

}  // namespace
}  // namespace bulkhead::measure
