// SPDX-License-Identifier: MIT
// Strict isolation end to end on real models: the engine's own logits, bit for bit, whatever else it computes. A hash
// of the logits of every step stands for their bits.
#include "engines/builtin.h"
#include "engines/real_models.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::SequenceId;
using engine::Token;
using Tokens = std::vector<Token>;
using EnginePtr = std::unique_ptr<engine::Engine>;

constexpr std::uint32_t kSteps = 12;

EnginePtr load(const std::string& model, std::uint32_t threads = 2, const std::string& kernels = "auto") {
  ModelOptions options;
  options.path = testing::model_file(model).string();
  options.threads = threads;
  options.kernels = kernels;
  auto made = builtin_engines().make(options);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
  return made.ok() ? std::move(made).value() : nullptr;
}

Tokens random_tokens(std::uint32_t count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  Tokens tokens(count);
  for (auto& token : tokens) token = static_cast<Token>(1000 + generator() % 50000);
  return tokens;
}

// A text that repeats itself, so that prompt lookup has something to find.
Tokens refrain(std::uint32_t count) {
  const auto verse = random_tokens(24, 3);
  Tokens tokens;
  while (tokens.size() < count) tokens.insert(tokens.end(), verse.begin(), verse.end());
  tokens.resize(count);
  return tokens;
}

SequenceId prefilled(engine::Engine& engine, const Tokens& tokens, std::uint32_t chunk = 0) {
  const auto id = engine.open({.capacity_tokens = static_cast<std::uint32_t>(tokens.size()) + 64}).value();
  const auto step = chunk == 0 ? tokens.size() : chunk;
  for (std::size_t at = 0; at < tokens.size(); at += step) {
    const auto length = std::min<std::size_t>(step, tokens.size() - at);
    EXPECT_TRUE(engine.prefill(id, std::span(tokens).subspan(at, length)).ok());
  }
  return id;
}

GenerateOptions sampled(bool speculate = false) {
  GenerateOptions options;
  options.max_tokens = kSteps;
  options.ignore_end = true;
  options.hash_logits = true;
  options.speculate = speculate;
  return options;
}

engine::GenerateResult generated(engine::Engine& engine, const std::vector<SequenceId>& ids, bool speculate = false) {
  std::vector<engine::GenerateRequest> requests;
  for (const auto id : ids) requests.push_back({id, sampled(speculate)});
  auto results = engine.generate(requests);
  EXPECT_TRUE(results[0].ok());
  return std::move(results[0]).value();
}

engine::GenerateResult alone(const std::string& model, const Tokens& tokens, std::uint32_t threads = 2) {
  const auto engine = load(model, threads);
  return generated(*engine, {prefilled(*engine, tokens)});
}

void expect_same_bits(const engine::GenerateResult& got, const engine::GenerateResult& expected,
                      const std::string& what) {
  EXPECT_EQ(got.tokens, expected.tokens) << what;
  EXPECT_EQ(got.logit_hashes, expected.logit_hashes) << what;
  EXPECT_EQ(got.logit_hashes.size(), kSteps) << what;
}

// The cell counts at which ggml's own attention changes its way, and one beyond.
class ModelInvariance : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(testing::model_file(GetParam()))) GTEST_SKIP() << GetParam() << " is not there";
  }
};

TEST_P(ModelInvariance, IsDeclared) {
  const auto engine = load(GetParam());
  EXPECT_TRUE(engine->facts().batch_invariant) << engine->facts().variance;
  EXPECT_FALSE(load(GetParam(), 2, "stock")->facts().batch_invariant);
}

TEST_P(ModelInvariance, CompanyThreadsAndChunksChangeNoBit) {
  for (const std::uint32_t cells : {505U, 2100U}) {  // 12 steps from 505 cross 511, 512 and 513
    const auto tokens = random_tokens(cells, 1);
    const auto expected = alone(GetParam(), tokens);
    expect_same_bits(alone(GetParam(), tokens, 1), expected, "one thread");
    const auto engine = load(GetParam());
    ASSERT_TRUE(engine->reserve(4, 2500).ok());
    const auto id = prefilled(*engine, tokens, 100);
    std::vector<SequenceId> ids{id};
    for (std::uint32_t i = 0; i < 3; ++i) ids.push_back(prefilled(*engine, random_tokens(50 + 700 * i, 10 + i)));
    expect_same_bits(generated(*engine, ids), expected, std::to_string(cells) + " cells in company, chunks of 100");
  }
}

TEST_P(ModelInvariance, AForkShowsWhatAColdPrefillShows) {
  const auto tokens = random_tokens(700, 1);
  const auto engine = load(GetParam());
  auto longer = tokens;
  longer.push_back(2000);
  const auto source = prefilled(*engine, longer);
  const auto fork = engine->fork(source, 700, {.capacity_tokens = 760});
  ASSERT_TRUE(fork.ok());
  EXPECT_EQ(fork.value().reused_tokens, 700U);
  expect_same_bits(generated(*engine, {fork.value().sequence}), alone(GetParam(), tokens), "fork");
}

TEST_P(ModelInvariance, AShortOneBesideEightThousandTokens) {
  const auto tokens = random_tokens(100, 1);
  ModelOptions options;
  options.path = testing::model_file(GetParam()).string();
  options.threads = 2;
  options.context_tokens = 8192;
  const auto engine = builtin_engines().make(options).value();
  ASSERT_TRUE(engine->reserve(2, 8192).ok());
  const auto id = prefilled(*engine, tokens);
  const auto neighbour = prefilled(*engine, random_tokens(8000, 2));
  expect_same_bits(generated(*engine, {id, neighbour}), alone(GetParam(), tokens), "beside 8,000");
}

TEST_P(ModelInvariance, DraftsChangeNoTokenAndNoBit) {
  for (const std::uint32_t cells : {240U, 505U}) {
    const auto tokens = refrain(cells);
    const auto plain = alone(GetParam(), tokens);
    const auto engine = load(GetParam());
    const auto drafted = generated(*engine, {prefilled(*engine, tokens)}, true);
    expect_same_bits(drafted, plain, "drafted");
    EXPECT_GT(drafted.drafted_tokens, 0U) << "a draft was verified";
    // What the drafts left behind must not show in what comes next.
    const auto other = load(GetParam());
    const auto id = prefilled(*other, tokens);
    static_cast<void>(generated(*other, {id}));
    const auto again = prefilled(*engine, tokens);
    static_cast<void>(generated(*engine, {again}, true));
    expect_same_bits(generated(*engine, {again}), generated(*other, {id}), "after drafts");
  }
}

INSTANTIATE_TEST_SUITE_P(ModelsOf, ModelInvariance, ::testing::Values(testing::kGemma, testing::kQwen));

}  // namespace
}  // namespace bulkhead::engines::llama
