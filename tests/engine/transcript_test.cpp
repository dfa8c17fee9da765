// SPDX-License-Identifier: MIT
// A transcript comes back from its lines as it was, and a damaged one is refused by line and field.
#include "engine/transcript.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::engine {
namespace {

Transcript sample() {
  Transcript transcript;
  transcript.calls.push_back({.number = 0, .kind = CallKind::kOpen, .sequence = 0, .partition = "A", .capacity = 64});
  transcript.calls.push_back({.number = 1, .kind = CallKind::kPrefill, .sequence = 0, .tokens = {5, 6, 7}});
  transcript.calls.push_back(
      {.number = 2, .kind = CallKind::kFork, .sequence = 1, .partition = "A/1", .source = 0, .at = 2, .capacity = 32});
  Call generate{.number = 3, .kind = CallKind::kGenerate, .sequence = 1, .tokens = {9, 0}};
  generate.options.sampling.seed = 4294967295U;
  generate.options.sampling.temperature = 0.3F;
  generate.options.max_tokens = 7;
  generate.options.stop = {"\n", "\"end\""};
  generate.finish = "stop";
  generate.logit_hashes = {0xfedcba9876543210U, 1};
  transcript.calls.push_back(generate);
  transcript.calls.push_back(
      {.number = 4, .kind = CallKind::kScore, .sequence = 0, .tokens = {1}, .score_bits = {0x8000000000000001U}});
  transcript.calls.push_back({.number = 5, .kind = CallKind::kPrefill, .sequence = 0, .outcome = "resource"});
  transcript.calls.push_back({.number = 6, .kind = CallKind::kClose, .sequence = 0});
  return transcript;
}

TEST(TranscriptFile, ComesBackAsItWas) {
  const auto lines = to_json_lines(sample(), {{"transcript_version", 1}});
  const auto read = transcript_from_json_lines(lines, "t.jsonl");
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_EQ(read.value().header.root()["transcript_version"], 1);
  const auto& calls = read.value().transcript.calls;
  ASSERT_EQ(calls.size(), 7U);
  EXPECT_EQ(calls[3].options.sampling.seed, 4294967295U);
  EXPECT_EQ(calls[3].options.sampling.temperature, 0.3F) << "the same bits, or the draws would differ";
  EXPECT_EQ(calls[3].logit_hashes.front(), 0xfedcba9876543210U);
  EXPECT_EQ(to_json_lines(read.value().transcript, read.value().header.root()), lines);
  EXPECT_EQ(read.value().transcript.sequences(), 2U);
}

TEST(TranscriptFile, OptionsThatAreSeldomSetTravelToo) {
  const auto plain = to_json_lines(sample(), {{"transcript_version", 1}});
  for (const auto* field : {"logit_bias", "logprobs", "grammar"}) {
    EXPECT_EQ(plain.find('"' + std::string(field) + '"'), std::string::npos) << "an old reader knows none of them";
  }
  auto set = sample();
  auto& options = set.calls[3].options;
  options.logit_bias = {{7, 0.1F}, {9, -std::numeric_limits<float>::infinity()}};
  options.logprobs = 0;
  options.grammar = "root ::= \"\\u00e4\" # \xc3\xa4\n";
  const auto lines = to_json_lines(set, {{"transcript_version", 1}});
  const auto read = transcript_from_json_lines(lines, "t.jsonl");
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  const auto& again = read.value().transcript.calls[3].options;
  EXPECT_EQ(again.logit_bias, options.logit_bias);
  EXPECT_EQ(again.logprobs, options.logprobs);
  EXPECT_EQ(again.grammar, options.grammar);
  EXPECT_EQ(to_json_lines(read.value().transcript, read.value().header.root()), lines);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"-inf\"", "\"nan\""}, {"\"-inf\"", "\"many\""}, {"\"logprobs\":0", "\"logprobs\":21"}}) {
    auto damaged = lines;
    ASSERT_NE(damaged.find(from), std::string::npos) << from;
    damaged.replace(damaged.find(from), from.size(), to);
    EXPECT_FALSE(transcript_from_json_lines(damaged, "t.jsonl").ok()) << to;
  }
}

TEST(TranscriptFile, IsRefusedByLineAndField) {
  const auto lines = to_json_lines(sample(), {{"transcript_version", 1}});
  const auto refused = [&](const std::string& from, const std::string& to) {
    auto damaged = lines;
    const auto at = damaged.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    damaged.replace(at, from.size(), to);
    const auto read = transcript_from_json_lines(damaged, "t.jsonl");
    EXPECT_FALSE(read.ok()) << to;
    if (read.ok()) return std::string();
    EXPECT_EQ(read.error().code, ErrorCode::kBadInput);
    return read.error().to_string();
  };
  EXPECT_NE(refused(R"("do":"fork")", R"("do":"fly")").find("line 4"), std::string::npos);
  EXPECT_NE(refused(R"("source":0)", R"("source":8)").find("sequence 8 was not opened"), std::string::npos);
  EXPECT_NE(refused(R"("source":0)", R"("source":1)").find("sequence 1 was not opened"), std::string::npos) << "itself";
  EXPECT_NE(refused(R"("at":2)", R"("at":4)").find("4 tokens are taken over of 3"), std::string::npos);
  EXPECT_NE(refused(R"("do":"fork","sequence":1)", R"("do":"fork","sequence":2000000000)").find("the next one is 1"),
            std::string::npos);
  EXPECT_NE(refused(R"("call":4)", R"("call":1)").find("call 1 comes after call 3"), std::string::npos);
  EXPECT_NE(refused(R"(["fedcba9876543210")", R"(["1","fedcba9876543210")").find("3 logits of 2 tokens"),
            std::string::npos);
  EXPECT_NE(refused(R"(["8000000000000001"])", R"(["1","2"])").find("2 log probabilities of 1"), std::string::npos);
  EXPECT_NE(refused(R"("top_p":1.0)", R"("top_p":1e300)").find("top_p"), std::string::npos);
  EXPECT_NE(refused("fedcba9876543210", "fedcba987654321g").find("hexadecimal"), std::string::npos);
  EXPECT_NE(refused(R"("tokens":[5,6,7])", R"("tokens":[5,-6,7])").find("tokens[1]"), std::string::npos);
  EXPECT_NE(refused(R"({"call":1)", R"({"call")").find("line 3"), std::string::npos);
  EXPECT_FALSE(transcript_from_json_lines("", "t.jsonl").ok());
}

// Of crafted transcripts: they threw, or asked an engine for what it never did.
TEST(TranscriptFile, CallsThatNoRecorderLeavesAreRefused) {
  const auto refusal = [](const Transcript& transcript) {
    const auto read = transcript_from_json_lines(to_json_lines(transcript, {{"transcript_version", 1}}), "t.jsonl");
    return read.ok() ? std::string() : read.error().to_string();
  };
  auto after_close = sample();
  after_close.calls.push_back({.number = 7, .kind = CallKind::kPrefill, .sequence = 0, .tokens = {5}});
  EXPECT_NE(refusal(after_close).find("sequence 0 was closed before"), std::string::npos) << refusal(after_close);
  auto fork_of_closed = sample();
  fork_of_closed.calls.push_back({.number = 7, .kind = CallKind::kFork, .sequence = 2, .source = 0});
  EXPECT_NE(refusal(fork_of_closed).find("sequence 0 was closed before"), std::string::npos);
  auto twice = sample();
  twice.calls.insert(twice.calls.begin() + 4, twice.calls[3]);
  EXPECT_NE(refusal(twice).find("sequence 1 is twice in call 3"), std::string::npos) << refusal(twice);
  twice.calls[3].outcome = twice.calls[4].outcome = "usage";
  EXPECT_EQ(refusal(twice), "") << "an engine refuses it, and that is kept";
  auto never_made = sample();
  never_made.calls[2].outcome = "resource";
  EXPECT_NE(refusal(never_made).find("not made"), std::string::npos);
}

}  // namespace
}  // namespace bulkhead::engine
