// SPDX-License-Identifier: MIT
#include "measure/forced_choice.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace bulkhead::measure {
namespace {

TEST(ForcedChoice, TheLikeliestForEachToken) {
  const std::vector<Candidate> candidates{{"pumps", -6.0, 3}, {"budget", -3.0, 1}, {"staff", -8.0, 2}};
  auto by_token = choose(candidates, 0);
  ASSERT_TRUE(by_token.ok());
  EXPECT_EQ(by_token->chosen, 0U);
  EXPECT_TRUE(by_token->correct);
  EXPECT_FALSE(by_token->intrusion);
  EXPECT_DOUBLE_EQ(by_token->margin, 1.0);
  const double sum = std::exp(-2.0) + std::exp(-3.0) + std::exp(-4.0);
  EXPECT_DOUBLE_EQ(by_token->probabilities[0], std::exp(-2.0) / sum);
  EXPECT_DOUBLE_EQ(by_token->probabilities[2], std::exp(-4.0) / sum);
  auto total = choose(candidates, 0, LengthNormalization::kNone);
  EXPECT_EQ(total->chosen, 1U);
  EXPECT_TRUE(total->intrusion);
  EXPECT_DOUBLE_EQ(total->margin, -3.0);
}

TEST(ForcedChoice, AnOldValueOfTheSameClusterIsWrongButNoIntrusion) {
  auto choice = choose(std::vector<Candidate>{{"pumps", -2.0, 1}, {"budget", -3.0, 1}, {"pumps", -1.0, 1}}, 0);
  EXPECT_EQ(choice->chosen, 2U);
  EXPECT_FALSE(choice->correct);
  EXPECT_FALSE(choice->intrusion);
}

TEST(ForcedChoice, ATieIsNotCorrect) {
  for (const std::size_t gold : {std::size_t{0}, std::size_t{1}}) {
    auto choice = choose(std::vector<Candidate>{{"a", -1.0, 1}, {"b", -2.0, 2}}, gold);
    EXPECT_FALSE(choice->correct);
    EXPECT_EQ(choice->chosen, 1 - gold);
    EXPECT_EQ(choice->margin, 0.0);
    EXPECT_EQ(choice->probabilities[0], 0.5);
  }
}

TEST(ForcedChoice, VerySmallProbabilities) {
  auto choice = choose(std::vector<Candidate>{{"a", -5000.0, 1}, {"b", -5001.0, 1}}, 0);
  EXPECT_NEAR(choice->probabilities[0], 1.0 / (1.0 + std::exp(-1.0)), 1e-15);
}

TEST(ForcedChoice, BrokenInput) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(choose(std::vector<Candidate>{{"a", -1.0, 1}}, 0).error().place, "candidates");
  EXPECT_EQ(choose(std::vector<Candidate>{{"a", -1.0, 1}, {"b", -1.0, 1}}, 2).error().place, "gold");
  EXPECT_EQ(choose(std::vector<Candidate>{{"a", -1.0, 1}, {"b", nan, 1}}, 0).error().place, "candidates[1]");
  EXPECT_EQ(choose(std::vector<Candidate>{{"a", -1.0, 0}, {"b", -1.0, 1}}, 0).error().place, "candidates[0]");
}

}  // namespace
}  // namespace bulkhead::measure
