// SPDX-License-Identifier: MIT
// Samples on a real network: one of 200 kB with random weights, whose distributions can be summed over exactly.
#include "engines/builtin.h"
#include "engines/tiny_model.h"
#include "eval/cell_runner.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::eval {
namespace {

using engine::Engine;
using engine::Token;

std::unique_ptr<Engine> tiny_engine(const testing::TemporaryFolder& folder) {
  ModelOptions options;
  options.path = (folder / "tiny.gguf").string();
  EXPECT_TRUE(testing::write_tiny_model(options.path));
  options.context_tokens = 256;
  options.threads = 1;
  auto made = engines::builtin_engines().make(options);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
  return made.ok() ? std::move(made).value() : nullptr;
}

PreparedItem after(const Engine& engine, const std::string& text, std::uint32_t tokens) {
  PreparedItem prepared;
  prepared.item.id = "sample:c1";
  prepared.item.sample_tokens = tokens;
  prepared.prompt = engine.tokenizer().tokenize(text).value();
  return prepared;
}

// Log probability of every token of the vocabulary as the next one.
std::vector<double> next_token(Engine& engine, const std::vector<Token>& prompt) {
  const auto id = engine.open({.capacity_tokens = static_cast<std::uint32_t>(prompt.size())}).value();
  EXPECT_TRUE(engine.prefill(id, prompt).ok());
  std::vector<std::vector<Token>> each;
  for (std::uint32_t i = 0; i < engine.facts().vocabulary; ++i) each.push_back({static_cast<Token>(i)});
  std::vector<double> all;
  const auto every = engine.score_continuations(id, each);
  EXPECT_TRUE(every.ok());
  if (every.ok()) {
    for (const auto& scores : *every) all.push_back(scores.front());
  }
  EXPECT_TRUE(engine.close(id).ok());
  return all;
}

TEST(Sample, MeanOfTheLogRatiosIsTheDivergence) {
  const testing::TemporaryFolder folder;
  const auto engine = tiny_engine(folder);
  ASSERT_NE(engine, nullptr);
  const auto isolated = after(*engine, "The pump", 1);
  const auto p = next_token(*engine, isolated.prompt);
  const auto q = next_token(*engine, engine->tokenizer().tokenize("Revenue grew. The pump").value());
  double exact = 0;
  for (std::size_t i = 0; i < p.size(); ++i) exact += std::exp(p[i]) * (p[i] - q[i]);

  constexpr std::uint32_t kDraws = 3000;
  double sum = 0;
  double squares = 0;
  for (std::uint32_t seed = 0; seed < kDraws; ++seed) {
    const auto sample = draw_sample(*engine, isolated, seed, {}).value();
    ASSERT_EQ(sample.tokens.size(), 1U);
    const auto token = static_cast<std::size_t>(sample.tokens[0]);
    sum += p[token] - q[token];
    squares += (p[token] - q[token]) * (p[token] - q[token]);
  }
  const double mean = sum / kDraws;
  const double error = std::sqrt((squares / kDraws - mean * mean) / kDraws);
  EXPECT_NEAR(mean, exact, 4 * error);
  EXPECT_GT(exact, 4 * error) << "else this test could not tell it from none";
}

TEST(Sample, IsTheSameForOneSeedAndClosesWhatItOpens) {
  const testing::TemporaryFolder folder;
  const auto engine = tiny_engine(folder);
  ASSERT_NE(engine, nullptr);
  const auto item = after(*engine, "The pump", 24);
  const auto one = draw_sample(*engine, item, 5, {}).value();
  EXPECT_EQ(draw_sample(*engine, item, 5, {}).value().tokens, one.tokens);
  EXPECT_NE(draw_sample(*engine, item, 6, {}).value().tokens, one.tokens);
  EXPECT_LE(one.tokens.size(), 24U);
  const auto next = engine->open({.capacity_tokens = 8}).value();
  for (std::uint32_t id = 0; id < next.value(); ++id) EXPECT_FALSE(engine->inspect(engine::SequenceId(id)).ok());
}

}  // namespace
}  // namespace bulkhead::eval
