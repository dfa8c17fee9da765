// SPDX-License-Identifier: MIT
#include "engines/llama/logprobs.h"

#include "engines/llama/continuation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

constexpr float kNone = -std::numeric_limits<float>::infinity();

TEST(Logprobs, AreLogsOfTheSoftmax) {
  const std::vector<float> logits = {std::log(2.0F), 0.0F, std::log(5.0F), kNone};
  const auto told = logprobs_of(logits, 1, 2);
  EXPECT_NEAR(told.logprob, std::log(1.0 / 8), 1e-7);
  ASSERT_EQ(told.top.size(), 2U);
  EXPECT_EQ(told.top[0].token, 2);
  EXPECT_NEAR(told.top[0].logprob, std::log(5.0 / 8), 1e-7);
  EXPECT_EQ(told.top[1].token, 0);
  EXPECT_NEAR(told.top[1].logprob, std::log(2.0 / 8), 1e-7);
}

TEST(Logprobs, OfEqualsTheLowerIdComesFirst) {
  const std::vector<float> logits = {1, 3, 2, 3, 2, 3, 0};
  std::vector<Token> order;
  for (const auto& one : logprobs_of(logits, 0, 5).top) order.push_back(one.token);
  EXPECT_EQ(order, (std::vector<Token>{1, 3, 5, 2, 4}));
  EXPECT_TRUE(logprobs_of(logits, 0, 0).top.empty());
  EXPECT_EQ(logprobs_of(logits, 0, 20).top.size(), 7U) << "there are no more";
}

TEST(Logprobs, WhatIsNoNumberIsImpossible) {
  const std::vector<float> logits = {std::numeric_limits<float>::quiet_NaN(), 0, 0, kNone};
  const auto told = logprobs_of(logits, 0, 4);
  EXPECT_EQ(told.logprob, static_cast<double>(kNone));
  EXPECT_EQ(told.top[0], (TokenLogprob{1, -std::log(2.0)}));
  EXPECT_EQ(told.top[1], (TokenLogprob{2, -std::log(2.0)}));
  EXPECT_EQ(told.top[2], (TokenLogprob{0, static_cast<double>(kNone)}));
  EXPECT_EQ(told.top[3], (TokenLogprob{3, static_cast<double>(kNone)}));
}

TEST(Logprobs, AreTheNumbersOfScores) {
  std::mt19937 random(4);
  std::vector<float> logits(5000);
  for (auto& logit : logits) logit = static_cast<float>(random() % 100'000) / 4000.0F - 12.0F;
  const auto told = logprobs_of(logits, 77, 20);
  EXPECT_EQ(told.logprob, log_probability(logits, 77));
  for (const auto& one : told.top) EXPECT_EQ(one.logprob, log_probability(logits, one.token));
  double sum = 0;
  for (Token i = 0; i < 5000; ++i) sum += std::exp(log_probability(logits, i));
  EXPECT_NEAR(sum, 1, 1e-12);
}

}  // namespace
}  // namespace bulkhead::engines::llama
