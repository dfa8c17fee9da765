// SPDX-License-Identifier: MIT
// A transcript comes back from its lines as it was, and a damaged one is refused by line and field.
#include "engine/transcript.h"

#include <gtest/gtest.h>

#include <string>

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
  EXPECT_NE(refused("fedcba9876543210", "fedcba987654321g").find("hexadecimal"), std::string::npos);
  EXPECT_NE(refused(R"("tokens":[5,6,7])", R"("tokens":[5,-6,7])").find("tokens[1]"), std::string::npos);
  EXPECT_NE(refused(R"({"call":1)", R"({"call")").find("line 3"), std::string::npos);
  EXPECT_FALSE(transcript_from_json_lines("", "t.jsonl").ok());
}

}  // namespace
}  // namespace bulkhead::engine
