// SPDX-License-Identifier: MIT
#include "engines/llama/text_embedder.h"

#include "base/json.h"
#include "engines/tiny_model.h"
#include "json_of.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

constexpr double kFloatError = 1e-3;  // of an angle's cosine, in f32 by two libraries

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(TextEmbedder, RefusesWhatGivesNoVectorOfAText) {
  const testing::TemporaryFolder folder;
  const auto path = (folder.path() / "tiny.gguf").string();
  ASSERT_TRUE(testing::write_tiny_model(path));
  const auto generating = TextEmbedder::load(path, 1);
  ASSERT_FALSE(generating.ok());
  EXPECT_EQ(generating.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(generating.error().advice.find("embedding_model.sh"), std::string::npos);
  EXPECT_EQ(TextEmbedder::load((folder.path() / "none.gguf").string(), 1).error().code, ErrorCode::kUsage);
  std::ofstream(folder.path() / "text.gguf") << "no model";
  EXPECT_EQ(TextEmbedder::load((folder.path() / "text.gguf").string(), 1).error().code, ErrorCode::kCorrupt);
}

TEST(FrameworkEmbedding, VectorsAreThoseOfTransformers) {
  const auto reference = testing::json_of(read(testing::build_folder() + "/embeddings.json"));
  auto embedder = TextEmbedder::load(reference["model"].get<std::string>(), 1).value();
  ASSERT_EQ(embedder.dimensions(), 384U);
  EXPECT_EQ(embedder.most_tokens(), 512U);
  std::vector<Embedding> embedded;
  for (std::size_t i = 0; i < reference["texts"].size(); ++i) {
    const auto text = reference["texts"][i].get<std::string>();
    embedded.push_back(embedder.embed(text).value());
    const auto expected = reference["vectors"][i].get<std::vector<float>>();
    EXPECT_GT(cosine(embedded.back().values, expected), 1 - kFloatError) << text.substr(0, 60);
    EXPECT_NEAR(cosine(embedded.back().values, embedded.back().values), 1, 1e-6);
    EXPECT_EQ(embedded.back().cut, i + 1 == reference["texts"].size()) << text.substr(0, 60);
    EXPECT_EQ(embedder.embed(text).value().values, embedded.back().values) << "whatever was embedded before";
  }
  const auto nearness = cosine(embedded[0].values, embedded[1].values);
  EXPECT_GT(nearness, 0.8) << "the same in other words";
  EXPECT_LT(cosine(embedded[0].values, embedded[2].values), 0.3) << "something else";
  // docs/evaluation.md says so: the measure sees topics, not figures.
  const auto figures = embedder.embed("The number of places at Clinic Marlow is 377. The fee is 52 EUR.").value();
  const auto others = embedder.embed("The number of places at Clinic Marlow is 912. The fee is 18 EUR.").value();
  EXPECT_GT(cosine(figures.values, others.values), 0.9);
  EXPECT_TRUE(embedder.embed("").ok()) << "an output may be empty";
}

}  // namespace
}  // namespace bulkhead::engines::llama
