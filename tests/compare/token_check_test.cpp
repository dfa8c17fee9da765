// SPDX-License-Identifier: MIT
#include "compare/token_check.h"

#include "compare/fixture.h"

#include <gmock/gmock.h>

namespace bulkhead::compare {
namespace {

using engine::Call;
using engine::CallKind;
using engine::Token;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Inputs of two entries that part at `at`; entry 1 ends there when `short_one`.
TokenSource parting_at(std::size_t at, bool short_one = false) {
  return {.input = [=](std::size_t entry, std::size_t, const std::string&) -> Result<std::vector<Token>> {
            std::vector<Token> tokens(430, 7);
            if (entry == 1) tokens[at] = 8;
            if (entry == 1 && short_one) tokens.resize(at);
            return tokens;
          },
          .spelling = [](std::size_t entry,
                         Token token) { return "word " + std::to_string(entry) + std::to_string(token); }};
}

TEST(TokenCheck, EqualHashesAreEqualAndNothingIsLookedUp) {
  const auto all = entries();
  const TokenSource source{.input = [](std::size_t, std::size_t, const std::string&) -> Result<std::vector<Token>> {
                             ADD_FAILURE() << "looked up";
                             return std::vector<Token>();
                           },
                           .spelling = {}};
  const auto rows = check_tokens(all, source);
  ASSERT_TRUE(rows.ok()) << rows.error().to_string();
  ASSERT_EQ(rows->size(), 12U);  // 2 seeds, 2 conditions, 3 outputs
  for (const auto& row : *rows) EXPECT_EQ(row["status"], "equal");
  EXPECT_EQ((*rows)[0]["tokens"], Json::array({430, 430}));
  EXPECT_TRUE(refuse_differences(*rows, all).ok());
}

TEST(TokenCheck, ADifferenceShowsTheFirstOtherTokenOfBothSides) {
  auto all = entries();
  output_of(all[1], 1, 0, 2)["input_sha256"] = std::string(64, 'f');
  const auto rows = check_tokens(all, parting_at(37));
  ASSERT_TRUE(rows.ok());
  const auto& row = (*rows)[8];
  EXPECT_EQ(row["status"], "different");
  EXPECT_EQ(row["seed"], 43);
  EXPECT_EQ(row["differences"][0]["at"], 37);
  EXPECT_EQ(row["differences"][0]["tokens"], Json::array({7, 8}));
  const auto refused = refuse_differences(*rows, all);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(refused.error().to_string(),
              HasSubstr("token 37 is 7 (\"word 07\") in the first and 8 (\"word 18\") in the"));
  EXPECT_THAT(refused.error().to_string(), HasSubstr("sequential, output C"));
  EXPECT_THAT(refused.error().advice, HasSubstr("--allow-token-differences"));
}

TEST(TokenCheck, OneThatEndsEarlierIsADifferenceToo) {
  auto all = entries();
  output_of(all[1], 0, 0, 0)["input_sha256"] = std::string(64, 'f');
  const auto rows = check_tokens(all, parting_at(429, true));
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ((*rows)[0]["differences"][0]["tokens"], Json::array({7, nullptr}));
  EXPECT_THAT(refuse_differences(*rows, all).error().message, HasSubstr("no more token in the second"));
}

TEST(TokenCheck, OtherMessagesMakeOtherTokensAndAreNoDifference) {
  auto all = entries();
  auto& semantic = all[1].results["runs"][0]["conditions"][1];
  semantic["partitions"][2]["messages"][0]["sha256"] = std::string(64, '0');
  output_of(all[1], 0, 1, 2)["input_sha256"] = std::string(64, 'f');
  const auto rows = check_tokens(all, parting_at(3));
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ((*rows)[5]["status"], "other messages");
  EXPECT_TRUE((*rows)[5]["differences"].empty());
  EXPECT_TRUE(refuse_differences(*rows, all).ok());
}

TEST(TokenCheck, ADocumentWithoutInputsIsRefused) {
  auto all = entries();
  output_of(all[1], 0, 0, 0).erase("input_sha256");
  const auto rows = check_tokens(all, {});
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(rows.error().place, "runs/both/transformers-tiny");
}

Call call(CallKind kind, std::uint32_t sequence, std::vector<Token> tokens, const std::string& partition = "") {
  Call made;
  made.kind = kind;
  made.sequence = sequence;
  made.tokens = std::move(tokens);
  made.partition = partition;
  return made;
}

TEST(InputIn, FollowsForksAndCountsTheGenerationsOfAPartition) {
  engine::Transcript transcript;
  auto& calls = transcript.calls;
  calls.push_back(call(CallKind::kOpen, 0, {}, "all"));
  calls.push_back(call(CallKind::kPrefill, 0, {1, 2, 3}));
  auto fork = call(CallKind::kFork, 1, {}, "all/A");
  fork.source = 0;
  fork.at = 2;
  calls.push_back(fork);
  calls.push_back(call(CallKind::kPrefill, 1, {9}));
  auto failed = call(CallKind::kPrefill, 1, {5});
  failed.outcome = "interrupted";
  calls.push_back(failed);
  calls.push_back(call(CallKind::kGenerate, 1, {40, 41}));
  calls.push_back(call(CallKind::kClose, 1, {}));
  calls.push_back(call(CallKind::kOpen, 2, {}, "all/A"));
  calls.push_back(call(CallKind::kPrefill, 2, {6}));
  calls.push_back(call(CallKind::kGenerate, 2, {50}));
  EXPECT_THAT(input_in(transcript, "all/A", 0).value(), ElementsAre(1, 2, 9));
  EXPECT_THAT(input_in(transcript, "all/A", 1).value(), ElementsAre(6));
  EXPECT_EQ(input_in(transcript, "all/A", 2).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(input_in(transcript, "all", 0).error().code, ErrorCode::kBadInput);
}

}  // namespace
}  // namespace bulkhead::compare
