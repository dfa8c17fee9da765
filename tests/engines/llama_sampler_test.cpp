// SPDX-License-Identifier: MIT
#include "engines/llama/sampler.h"

#include "engine/option_bounds.h"

#include <gtest/gtest.h>
#include <llama.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

SamplingOptions at(float temperature, std::uint32_t seed = 1) {
  SamplingOptions options;
  options.temperature = temperature;
  options.seed = seed;
  return options;
}

// Counts of many draws from the same logits.
std::vector<double> shares(const SamplingOptions& options, const std::vector<float>& logits, int draws,
                           const std::vector<Token>& forbidden = {}) {
  Sampler sampler(options, forbidden);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(sampler.draw(logits, {}).value())];
  std::vector<double> result;
  for (const int count : counts) result.push_back(static_cast<double>(count) / draws);
  return result;
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  std::vector<double> weights;
  double sum = 0;
  for (const float logit : logits) {
    weights.push_back(std::exp(static_cast<double>(logit) / temperature));
    sum += weights.back();
  }
  for (auto& weight : weights) weight /= sum;
  return weights;
}

const std::vector<float> kLogits = {1.0F, -2.0F, 3.0F, 0.5F, 2.5F, -40.0F, 2.9F};

// Their inverses are large, or infinite: 1 / 1e-39 is.
TEST(Sampler, TinyTemperaturesDrawWhatGreedyTakes) {
  std::vector<float> many(70'001, -3.0F);
  many[65'432] = 12.5F;
  many[65'433] = 12.25F;
  for (const float temperature :
       {1e-3F, 1e-6F, 1e-20F, 1e-37F, 2.9e-39F, 1e-39F, 1e-42F, std::numeric_limits<float>::denorm_min()}) {
    for (const int form : {0, 1, 2, 3}) {
      auto options = at(temperature);
      if (form == 1) options.top_k = 3;
      if (form == 2) options.top_p = 0.99F;
      if (form == 3) options.min_p = 0.01F;
      Sampler sampler(options, {});
      for (int draw = 0; draw < 20; ++draw) {
        EXPECT_EQ(sampler.draw(kLogits, {}), 2) << temperature << " " << form;
        EXPECT_EQ(sampler.draw(many, {}), 65'432) << temperature << " " << form;
      }
    }
  }
}

TEST(Sampler, ValuesAtTheirBoundsDrawATokenThatIsThere) {
  const std::vector<Token> history = {0, 2, 5};
  for (const float temperature : {-100.0F, 0.0F, std::numeric_limits<float>::denorm_min(), 100.0F}) {
    for (const float penalty : {0.01F, 100.0F}) {
      for (const float top_p : {std::numeric_limits<float>::denorm_min(), 1.0F}) {
        for (const float min_p : {0.0F, 1.0F}) {
          for (const std::int32_t top_k : {0, 1, std::numeric_limits<std::int32_t>::max()}) {
            SamplingOptions options{temperature, top_k, top_p, min_p, penalty, std::numeric_limits<std::int32_t>::max(),
                                    4294967295U};
            ASSERT_TRUE(engine::check_bounds(options).ok());
            const auto drawn = Sampler(options, {}).draw(kLogits, history);
            ASSERT_TRUE(drawn.has_value());
            EXPECT_LT(static_cast<std::size_t>(*drawn), kLogits.size());
          }
        }
      }
    }
  }
}

TEST(Sampler, GreedyTakesTheFirstLargest) {
  Sampler sampler(at(0), {});
  EXPECT_EQ(sampler.draw(kLogits, {}), 2);
  EXPECT_EQ(sampler.draw(std::vector<float>{1, 5, 5, 2}, {}), 1);
  std::vector<float> many(100003, -1.0F);
  many[77777] = 0.5F;
  EXPECT_EQ(sampler.draw(many, {}), 77777);
  many[90001] = 0.5F;
  EXPECT_EQ(sampler.draw(many, {}), 77777) << "the first of equals, also when they are far apart";
  many.back() = 0.75F;
  EXPECT_EQ(sampler.draw(many, {}), 100002) << "the last of all";
  const std::vector<Token> forbidden = {100002};
  EXPECT_EQ(Sampler(at(0), forbidden).draw(many, {}), 77777);
}

TEST(Sampler, DrawsFollowTheSoftmax) {
  constexpr int kDraws = 200000;
  for (const float temperature : {0.5F, 1.0F, 2.0F}) {
    const auto expected = softmax(kLogits, static_cast<double>(temperature));
    const auto got = shares(at(temperature), kLogits, kDraws);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], 5 * std::sqrt(expected[i] * (1 - expected[i]) / kDraws) + 1e-5)
          << temperature << " " << i;
    }
  }
}

// More tokens than one block of the sum, with the weight at its borders.
TEST(Sampler, DrawsFromAllOverALargeVocabulary) {
  std::vector<float> logits(5000, -30.0F);
  for (const std::size_t i : {0U, 1023U, 1024U, 2047U, 4999U}) logits[i] = 1.0F;
  const auto got = shares(at(1.0F), logits, 20000);
  for (const std::size_t i : {0U, 1023U, 1024U, 2047U, 4999U}) EXPECT_NEAR(got[i], 0.2, 0.02) << i;
}

TEST(Sampler, FilteredDrawsFollowTheSameSoftmax) {
  auto options = at(1.0F);
  options.top_k = 3;  // tokens 2, 6, 4
  const auto got = shares(options, kLogits, 50000);
  const auto expected = softmax({3.0F, 2.9F, 2.5F}, 1.0);
  EXPECT_NEAR(got[2], expected[0], 0.02);
  EXPECT_NEAR(got[6], expected[1], 0.02);
  EXPECT_NEAR(got[4], expected[2], 0.02);
  EXPECT_EQ(got[0] + got[1] + got[3] + got[5], 0);
  options.top_k = 1;
  EXPECT_EQ(shares(options, kLogits, 100)[2], 1.0);
  options = at(1.0F);
  options.top_p = 0.3F;
  EXPECT_EQ(shares(options, kLogits, 100)[2], 1.0) << "the best one alone has that much";
  options = at(1.0F);
  options.min_p = 0.5F;
  const auto likely = shares(options, kLogits, 5000);
  EXPECT_GT(likely[4], 0.1);
  EXPECT_EQ(likely[0] + likely[1] + likely[3] + likely[5], 0);
}

// The filters mean what they mean in llama.cpp.
TEST(Sampler, FiltersKeepWhatLlamaKeeps) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    std::vector<float> logits(400);
    for (auto& logit : logits) logit = static_cast<float>(random() % 10000) / 1000.0F;
    auto options = at(1.0F, static_cast<std::uint32_t>(round));
    if (round % 2 == 0) options.top_k = 1 + static_cast<std::int32_t>(random() % 50);
    if (round % 3 != 0) options.top_p = 0.05F + static_cast<float>(random() % 90) / 100.0F;
    if (round % 5 != 0) options.min_p = static_cast<float>(random() % 50) / 100.0F;

    auto* chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
    if (options.top_k > 0) llama_sampler_chain_add(chain, llama_sampler_init_top_k(options.top_k));
    llama_sampler_chain_add(chain, llama_sampler_init_top_p(options.top_p, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_min_p(options.min_p, 1));
    std::vector<llama_token_data> candidates;
    for (std::size_t i = 0; i < logits.size(); ++i) candidates.push_back({static_cast<Token>(i), logits[i], 0.0F});
    llama_token_data_array kept{candidates.data(), candidates.size(), -1, false};
    llama_sampler_apply(chain, &kept);
    std::set<Token> expected;
    for (std::size_t i = 0; i < kept.size; ++i) expected.insert(kept.data[i].id);
    llama_sampler_free(chain);

    options.temperature = 1e6F;  // all that is kept is about equally likely
    Sampler sampler(options, {});
    std::set<Token> drawn;
    for (std::size_t i = 0; i < 20 * expected.size() + 20; ++i) drawn.insert(sampler.draw(logits, {}).value());
    EXPECT_EQ(drawn, expected) << "top_k " << options.top_k << " top_p " << options.top_p << " min_p " << options.min_p;
  }
}

TEST(Sampler, FiltersComeBeforeTheTemperature) {
  auto options = at(100.0F);
  options.top_p = 0.6F;  // of the untempered distribution: tokens 2 and 6
  const auto got = shares(options, kLogits, 4000);
  EXPECT_NEAR(got[2] + got[6], 1.0, 1e-9);
  EXPECT_NEAR(got[2], 0.5, 0.05);
}

TEST(Sampler, SeedsDecide) {
  const auto sequence = [](std::uint32_t seed) {
    Sampler sampler(at(1.0F, seed), {});
    std::vector<Token> drawn;
    for (int i = 0; i < 50; ++i) drawn.push_back(sampler.draw(kLogits, {}).value());
    return drawn;
  };
  EXPECT_EQ(sequence(1), sequence(1));
  EXPECT_NE(sequence(1), sequence(2));
}

TEST(Sampler, ForbiddenTokensAreNeverDrawn) {
  const std::vector<Token> forbidden = {2, 6};
  EXPECT_EQ(Sampler(at(0), forbidden).draw(kLogits, {}), 4);
  const auto plain = shares(at(5.0F), kLogits, 5000, forbidden);
  EXPECT_EQ(plain[2] + plain[6], 0);
  auto options = at(5.0F);
  options.top_k = 4;
  const auto filtered = shares(options, kLogits, 5000, forbidden);
  EXPECT_EQ(filtered[2] + filtered[6], 0);
}

TEST(Sampler, ABiasIsAddedBeforeThePenalty) {
  auto options = at(0);
  EXPECT_EQ(Sampler(options, {}, {{0, 2.5F}}).draw(kLogits, {}), 0) << "1 and 2.5 are more than 3";
  EXPECT_EQ(Sampler(options, {}, {{0, 1.9F}}).draw(kLogits, {}), 2);
  EXPECT_EQ(Sampler(options, {}, {{0, 1.25F}, {0, 1.25F}}).draw(kLogits, {}), 0) << "each entry counts";
  options.repeat_penalty = 2.0F;
  // Biased first 3.5 / 2; penalized first 0.5 + 2.5, the first of two equals.
  EXPECT_EQ(Sampler(options, {}, {{0, 2.5F}}).draw(kLogits, std::vector<Token>{0, 0}), 2);
}

TEST(Sampler, ABiasMovesEveryDraw) {
  const std::vector<TokenBias> bias = {{0, 2.0F}, {2, -1.0F}, {6, -std::numeric_limits<float>::infinity()}};
  std::vector<float> expected_logits = kLogits;
  for (const auto& [token, value] : bias) expected_logits[static_cast<std::size_t>(token)] += value;
  constexpr int kDraws = 50'000;
  for (const int form : {0, 1}) {
    auto options = at(1.0F);
    if (form == 1) options.top_k = 6;  // all but the forbidden one
    Sampler sampler(options, {}, bias);
    std::vector<int> counts(kLogits.size());
    for (int i = 0; i < kDraws; ++i) ++counts[static_cast<std::size_t>(sampler.draw(kLogits, {}).value())];
    const auto expected = softmax(expected_logits, 1.0);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto share = static_cast<double>(counts[i]) / kDraws;
      EXPECT_NEAR(share, expected[i], 5 * std::sqrt(expected[i] * (1 - expected[i]) / kDraws) + 1e-5)
          << form << " " << i;
    }
    EXPECT_EQ(counts[6], 0);
  }
}

TEST(Sampler, AFiniteBiasForbidsNothing) {
  const std::vector<float> logits = {0.0F, 150.0F};
  EXPECT_EQ(Sampler(at(0), {}, {{1, -100.0F}}).draw(logits, {}), 1);
  const auto forbidden = -std::numeric_limits<float>::infinity();
  for (const float temperature : {0.0F, 1.0F}) {
    EXPECT_EQ(Sampler(at(temperature), {}, {{1, forbidden}}).draw(logits, {}), 0);
    EXPECT_FALSE(Sampler(at(temperature), {}, {{0, forbidden}, {1, forbidden}}).draw(logits, {}).has_value());
  }
}

TEST(Sampler, PenaltyLooksAtRecentTokensOnly) {
  auto options = at(0);
  options.repeat_penalty = 2.0F;
  options.repeat_last_n = 2;
  Sampler sampler(options, {});
  EXPECT_EQ(sampler.draw(kLogits, std::vector<Token>{2, 2, 2}), 6) << "once, however often it occurs";
  EXPECT_EQ(sampler.draw(kLogits, std::vector<Token>{6, 2}), 4);
  EXPECT_EQ(sampler.draw(kLogits, std::vector<Token>{2, 0, 1}), 2) << "too long ago";
  const std::vector<float> negative = {-1.0F, -1.5F};
  EXPECT_EQ(sampler.draw(negative, std::vector<Token>{0}), 1) << "negative logits go down too";
}

TEST(Sampler, LogitsThatAreNoNumbersAreRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float temperature : {0.0F, 1.0F}) {
    EXPECT_FALSE(Sampler(at(temperature), {}).draw(std::vector<float>{nan, nan, nan}, {}).has_value());
    EXPECT_FALSE(Sampler(at(temperature), {}).draw(std::vector<float>{-infinity, -infinity}, {}).has_value());
    EXPECT_FALSE(Sampler(at(temperature), {}).draw(std::vector<float>{1.0F, infinity}, {}).has_value());
    EXPECT_EQ(Sampler(at(temperature), {}).draw(std::vector<float>{nan, 1.0F, -infinity}, {}), 1);
  }
}

TEST(Sampler, TinyTemperaturesAreGreedyInTheLimit) {
  EXPECT_EQ(shares(at(1e-6F), kLogits, 100)[2], 1.0);
}

}  // namespace
}  // namespace bulkhead::engines::llama
