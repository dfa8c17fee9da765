// SPDX-License-Identifier: MIT
// Vectors of texts through the public surface, on a tiny model with random weights that pools its tokens.
#include <bulkhead/bulkhead.h>

#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace bulkhead::testing {
namespace {

class Embeddings : public ::testing::Test {
 protected:
  void SetUp() override {
    TinyModelOptions options;
    options.pooling = 1;  // the mean of all tokens
    ASSERT_TRUE(write_tiny_model(path_, options));
  }

  TemporaryFolder folder_;
  std::string path_ = (folder_ / "embedding.gguf").string();
};

double length_of(const std::vector<float>& values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

TEST_F(Embeddings, ATextIsOneVectorOfLengthOne) {
  const auto embedder = std::move(Embedder::load(path_, 1)).value();
  const auto one = embedder.embed("the harbour log").value();
  EXPECT_EQ(one.values.size(), embedder.dimensions());
  EXPECT_NEAR(length_of(one.values), 1, 1e-5);
  EXPECT_GT(one.tokens, 2U);
  EXPECT_FALSE(one.cut);
  const auto other = embedder.embed("another text").value();
  EXPECT_NE(one.values, other.values);
  EXPECT_EQ(embedder.embed("the harbour log").value().values, one.values) << "whatever was embedded before";
}

TEST_F(Embeddings, ALongTextIsCutAndSaysSo) {
  const auto embedder = std::move(Embedder::load(path_, 1)).value();
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "word ";
  const auto vector = embedder.embed(text).value();
  EXPECT_TRUE(vector.cut);
  EXPECT_EQ(vector.tokens, embedder.most_tokens());
}

TEST_F(Embeddings, ThreadsGetWhatOneGets) {
  const auto embedder = std::move(Embedder::load(path_, 1)).value();
  const std::vector<std::string> texts = {"one", "two and more", "three: a longer text than both", "four"};
  std::vector<std::vector<float>> expected;
  for (const auto& text : texts) expected.push_back(embedder.embed(text).value().values);
  std::vector<int> same(texts.size(), 0);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < 10; ++round) same[i] += embedder.embed(texts[i]).value().values == expected[i];
      });
    }
  }
  EXPECT_EQ(same, std::vector<int>(texts.size(), 10));
}

TEST_F(Embeddings, WrongArgumentsAreRefused) {
  EXPECT_EQ(Embedder::load("no-such-model").error().code, ErrorCode::kUsage);
  const auto generating = (folder_ / "generating.gguf").string();
  ASSERT_TRUE(write_tiny_model(generating));
  EXPECT_EQ(Embedder::load(generating).error().code, ErrorCode::kUnsupported);
  auto embedder = std::move(Embedder::load(path_, 1)).value();
  const auto before = embedder.embed("a").value().values;
  EXPECT_EQ(embedder.embed("broken \xFF").error().code, ErrorCode::kBadInput);
  EXPECT_EQ(embedder.embed("a").value().values, before);
  const auto moved = std::move(embedder);
  EXPECT_EQ(embedder.embed("a").error().code, ErrorCode::kUsage);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(embedder.dimensions(), 0U);
  EXPECT_EQ(embedder.most_tokens(), 0U);
  EXPECT_EQ(moved.embed("a").value().values, before);
}

}  // namespace
}  // namespace bulkhead::testing
