// SPDX-License-Identifier: MIT
#include "engine/generation.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace bulkhead::engine {
namespace {

TEST(GeneratedText, JoinsPieces) {
  GeneratedText text({});
  EXPECT_FALSE(text.append("one "));
  EXPECT_FALSE(text.append("two"));
  EXPECT_EQ(text.text(), "one two");
}

TEST(GeneratedText, CutsAtAStopStringThatSpansPieces) {
  GeneratedText text({"zzz", "END."});
  EXPECT_FALSE(text.append("the E"));
  EXPECT_FALSE(text.append("N"));
  EXPECT_TRUE(text.append("D. and more"));
  EXPECT_EQ(text.text(), "the ");
}

TEST(GeneratedText, TheFirstOfSeveralStopStringsCounts) {
  GeneratedText text({"later", "now"});
  EXPECT_TRUE(text.append("now and later"));
  EXPECT_EQ(text.text(), "");
}

TEST(GeneratedText, FindsAStopStringInOnePieceAfterALongText) {
  GeneratedText text({"stop"});
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(text.append("sto"));
  EXPECT_TRUE(text.append("p"));
  EXPECT_EQ(text.text().size(), 2997U);
}

TEST(GeneratedText, IsAlwaysValidUtf8) {
  GeneratedText cut({});
  EXPECT_FALSE(cut.append("caf\xc3"));
  EXPECT_EQ(cut.text(), "caf") << "an unfinished character is dropped";
  EXPECT_FALSE(cut.append("\xa9"));
  EXPECT_EQ(cut.text(), "caf\xc3\xa9");
  GeneratedText broken({});
  EXPECT_FALSE(
      broken.append("a\xff"
                    "b"));
  EXPECT_EQ(broken.text(),
            "a\xef\xbf\xbd"
            "b");
}

TEST(CheckOptions, AcceptsTheDefaults) {
  EXPECT_TRUE(check_options({}).ok());
}

TEST(CheckOptions, AcceptsTheirBounds) {
  GenerateOptions options;
  options.logit_bias.resize(1024);
  options.logit_bias[0].bias = 1000;
  options.logit_bias[1].bias = -1000;
  options.logit_bias[2].bias = -std::numeric_limits<float>::infinity();
  options.logprobs = 20;
  options.grammar = "root ::= [a]";
  options.grammar_triggers.assign(16, std::string(256, 'a'));
  options.grammar_prefix = std::string(4096, 'a');
  EXPECT_TRUE(check_options(options).ok());
}

TEST(CheckOptions, NamesTheFieldThatIsOutOfRange) {
  const auto nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::pair<std::string, std::function<void(GenerateOptions&)>>> cases = {
      {"temperature", [&](auto& o) { o.sampling.temperature = nan; }},
      {"top_k", [](auto& o) { o.sampling.top_k = -1; }},
      {"top_p", [](auto& o) { o.sampling.top_p = 0; }},
      {"top_p", [](auto& o) { o.sampling.top_p = 1.01F; }},
      {"top_p", [&](auto& o) { o.sampling.top_p = nan; }},
      {"min_p", [](auto& o) { o.sampling.min_p = -0.1F; }},
      {"min_p", [&](auto& o) { o.sampling.min_p = nan; }},
      {"repeat_penalty", [](auto& o) { o.sampling.repeat_penalty = 0; }},
      {"repeat_last_n", [](auto& o) { o.sampling.repeat_last_n = -1; }},
      {"stop",
       [](auto& o) {
         o.stop = {"fine", ""};
       }},
      {"logit_bias",
       [](auto& o) {
         o.logit_bias = {{1, 0}, {2, 1000.5F}};
       }},
      {"logit_bias",
       [](auto& o) {
         o.logit_bias = {{1, -1000.5F}};
       }},
      {"logit_bias",
       [](auto& o) {
         o.logit_bias = {{1, std::numeric_limits<float>::infinity()}};
       }},
      {"logit_bias",
       [&](auto& o) {
         o.logit_bias = {{1, nan}};
       }},
      {"logit_bias", [](auto& o) { o.logit_bias.resize(1025); }},
      {"logprobs", [](auto& o) { o.logprobs = 21; }},
      {"ignore_end",
       [](auto& o) {
         o.ignore_end = true;
         o.grammar = "root ::= [a]";
       }},
      {"grammar_triggers", [](auto& o) { o.grammar_triggers = {"a"}; }},
      {"grammar_triggers",
       [](auto& o) {
         o.grammar = "root ::= [a]";
         o.grammar_triggers = {"fine", ""};
       }},
      {"grammar_triggers",
       [](auto& o) {
         o.grammar = "root ::= [a]";
         o.grammar_triggers = {std::string(257, 'a')};
       }},
      {"grammar_triggers",
       [](auto& o) {
         o.grammar = "root ::= [a]";
         o.grammar_triggers.assign(17, "a");
       }},
      {"grammar_prefix", [](auto& o) { o.grammar_prefix = "a"; }},
      {"grammar_prefix",
       [](auto& o) {
         o.grammar = "root ::= [a]";
         o.grammar_prefix = std::string(4097, 'a');
       }},
  };
  for (const auto& [field, spoil] : cases) {
    GenerateOptions options;
    spoil(options);
    const auto checked = check_options(options);
    ASSERT_FALSE(checked.ok()) << field;
    EXPECT_EQ(checked.error().code, ErrorCode::kUsage);
    EXPECT_EQ(checked.error().place, field);
  }
}

}  // namespace
}  // namespace bulkhead::engine
