// SPDX-License-Identifier: MIT
#include "engines/llama/prompt_lookup.h"

#include <gtest/gtest.h>

#include <vector>

namespace bulkhead::engines::llama {
namespace {

using Tokens = std::vector<engine::Token>;

TEST(PromptLookup, ContinuesTheLongestEarlierMatch) {
  const PromptLookup lookup;
  // "7 1 2" stood before and 9 followed; "1 2" stood later and 8 followed: the longer match wins.
  EXPECT_EQ(lookup.look_up(Tokens{7, 1, 2, 9, 5, 1, 2, 8, 6, 7, 1, 2}, 3).tokens, (Tokens{9, 5, 1}));
}

TEST(PromptLookup, TakesTheLatestOfEqualMatches) {
  const PromptLookup lookup;
  EXPECT_EQ(lookup.look_up(Tokens{1, 2, 9, 0, 1, 2, 8, 0, 0, 1, 2}, 1).tokens, (Tokens{8}));
}

TEST(PromptLookup, AMatchMayOverlapTheEndItself) {
  const PromptLookup lookup;
  EXPECT_EQ(lookup.look_up(Tokens{4, 5, 5, 5, 5}, 4).tokens, (Tokens{5}));
}

TEST(PromptLookup, ProposesNothingWithoutAMatch) {
  const PromptLookup lookup;
  EXPECT_TRUE(lookup.look_up(Tokens{}, 4).tokens.empty());
  EXPECT_TRUE(lookup.look_up(Tokens{1}, 4).tokens.empty());
  EXPECT_TRUE(lookup.look_up(Tokens{1, 2, 3, 2, 1, 2 + 2, 3}, 4).tokens.empty()) << "one token is no match";
  EXPECT_TRUE(lookup.look_up(Tokens{1, 2, 9, 1, 2}, 0).tokens.empty());
}

TEST(PromptLookup, LongMatchesAreTrustedMoreThanShortOnes) {
  const PromptLookup lookup;
  const auto brief = lookup.look_up(Tokens{1, 2, 9, 0, 1, 2}, 4);
  const auto lengthy = lookup.look_up(Tokens{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 4);
  EXPECT_LT(brief.chance, lengthy.chance);
}

TEST(PromptLookup, LearnsFromWhatCame) {
  PromptLookup lookup;
  const Tokens history{1, 2, 9, 8, 1, 2};
  const auto first = lookup.look_up(history, 2);
  lookup.learn(first, Tokens{9, 8});
  const auto trusted = lookup.look_up(history, 2);
  EXPECT_GT(trusted.chance, first.chance);
  for (int i = 0; i < 40; ++i) lookup.learn(trusted, Tokens{5});
  EXPECT_LT(lookup.look_up(history, 2).chance, 0.1);
}

using Lengths = std::vector<std::uint32_t>;

// Each may be given as much as there is.
Lengths lengths_of(const std::vector<Draft>& drafts, const StepTimes& times = {}) {
  return draft_lengths(drafts, Lengths(drafts.size(), 100), times);
}

const Draft kSure{{1, 2, 3, 4, 5, 6, 7, 8, 9}, 0, 0.99};

TEST(DraftLengths, GrowWithTheChance) {
  const Tokens tokens{1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(lengths_of({{tokens, 0, 0.01}}), Lengths{0});
  EXPECT_EQ(lengths_of({{tokens, 0, 0.99}}), Lengths{7});
  const auto middle = lengths_of({{tokens, 0, 0.5}}).front();
  EXPECT_GT(middle, 0U);
  EXPECT_LT(middle, 7U);
}

TEST(DraftLengths, StayWithinTheLimits) {
  EXPECT_EQ(draft_lengths(std::vector{kSure}, Lengths{2}, {}), Lengths{2});
  EXPECT_EQ(lengths_of({kSure, kSure}), (Lengths{3, 3})) << "two sequences of 1 + 3 columns";
  EXPECT_EQ(lengths_of({kSure, kSure, kSure}), (Lengths{2, 2, 1})) << "eight columns are cheap";
  EXPECT_EQ(lengths_of(std::vector(kCheapColumns, kSure)), Lengths(kCheapColumns, 0)) << "no cheap column is left";
  EXPECT_EQ(lengths_of({}), Lengths{});
  EXPECT_EQ(draft_lengths(std::vector{kSure, kSure}, Lengths{0, 100}, {}), (Lengths{0, 6}));
}

TEST(DraftLengths, AreEachSequencesOwn) {
  const Draft unsure{kSure.tokens, 0, 0.1};
  const Draft brief{{1, 2}, 0, 0.99};
  EXPECT_EQ(lengths_of({kSure, {}}), (Lengths{6, 0})) << "one without a proposal takes no column";
  EXPECT_EQ(lengths_of({unsure, kSure}), (Lengths{0, 6}));
  EXPECT_EQ(lengths_of({brief, kSure, {}}), (Lengths{2, 3, 0}));
}

TEST(DraftLengths, ShrinkWhereAColumnIsDear) {
  const std::vector<Draft> drafts{{{1, 2, 3, 4, 5, 6, 7}, 0, 0.7}};
  StepTimes cheap;
  StepTimes dear;
  for (std::uint32_t columns = 1; columns <= kCheapColumns; ++columns) {
    cheap.learn(columns, 1 + 0.01 * columns);
    dear.learn(columns, columns);
  }
  EXPECT_GT(lengths_of(drafts, cheap).front(), lengths_of(drafts).front());
  EXPECT_EQ(lengths_of(drafts, dear), Lengths{0});
}

TEST(StepTimes, EstimatesWhatWasNotSeenFromItsNeighbour) {
  StepTimes times;
  EXPECT_LT(times.expected(1), times.expected(2));
  times.learn(1, 3);
  EXPECT_DOUBLE_EQ(times.expected(1), 3);
  EXPECT_GT(times.expected(4), 3);
  times.learn(4, 12);
  EXPECT_DOUBLE_EQ(times.expected(4), 12);
  EXPECT_GT(times.expected(5), 12);
  EXPECT_LT(times.expected(3), 12);
}

TEST(StepTimes, BelievesAShorterTimeSoonerThanALongerOne) {
  StepTimes times;
  times.learn(2, 10);
  times.learn(2, 15);
  EXPECT_NEAR(times.expected(2), 10.5, 1e-9);
  times.learn(2, 5);
  EXPECT_LT(times.expected(2), 8);
  const auto before = times.expected(2);
  times.learn(2, 1000);
  EXPECT_DOUBLE_EQ(times.expected(2), before) << "something else took the machine";
  times.learn(0, 1);
  times.learn(kCheapColumns + 1, 1);
  times.learn(2, 0);
  EXPECT_DOUBLE_EQ(times.expected(2), before);
}

}  // namespace
}  // namespace bulkhead::engines::llama
