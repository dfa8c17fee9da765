// SPDX-License-Identifier: MIT
// Whole models with our kernels: a sequence's logits do not depend on what is decoded with it; ggml's own are the
// control.
#include "engines/llama/backend.h"
#include "engines/llama/kernels/kernels.h"
#include "engines/llama/llama_engine.h"
#include "engines/llama/loaded_model.h"
#include "engines/real_models.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

// For the memory that libllama itself reports.
#include <../src/llama-ext.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

constexpr std::uint32_t kPrompt = 24;
constexpr std::uint32_t kComparedSteps = 6;
constexpr std::uint32_t kMostSequences = 8;

std::shared_ptr<const LoadedModel> load(const std::string& path, const std::string& kernels,
                                        std::uint32_t threads = 2) {
  ModelOptions options;
  options.path = path;
  options.kernels = kernels;
  options.threads = threads;
  options.flash_attention = false;
  options.context_tokens = 256;
  auto loaded = LoadedModel::load(options);
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().to_string());
  return std::move(loaded).value();
}

// Token `position` of sequence `name`: any tokens do, as long as each sequence has others.
llama_token token_of(const LoadedModel& model, std::uint32_t name, std::uint32_t position) {
  std::uint32_t state = name * 7919 + position * 104729 + 17;
  state = state * 1664525U + 1013904223U;
  return static_cast<llama_token>(300 + (state >> 8U) % (model.facts().vocabulary - 400));
}

// Logits of the last kComparedSteps tokens of each sequence, [sequence][step][vocabulary]: prompts one by one, then all
// sequences decoded together.
std::vector<std::vector<float>> decode(const LoadedModel& model, const std::vector<std::uint32_t>& names) {
  const auto count = static_cast<std::uint32_t>(names.size());
  auto made = model.make_context(count, kPrompt + kComparedSteps);
  EXPECT_TRUE(made.ok());
  auto* context = made.value().get();
  const auto vocabulary = static_cast<std::ptrdiff_t>(model.facts().vocabulary);
  std::vector<std::vector<float>> logits(count);
  auto batch = llama_batch_init(256, 0, 1);
  const auto add = [&](std::uint32_t sequence, std::uint32_t position, bool output) {
    const auto i = batch.n_tokens++;
    batch.token[i] = token_of(model, names[sequence], position);
    batch.pos[i] = static_cast<llama_pos>(position);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = static_cast<llama_seq_id>(sequence);
    batch.logits[i] = output ? 1 : 0;
  };
  for (std::uint32_t s = 0; s < count; ++s) {
    batch.n_tokens = 0;
    for (std::uint32_t p = 0; p < kPrompt; ++p) add(s, p, p + 1 == kPrompt);
    EXPECT_EQ(llama_decode(context, batch), 0);
  }
  for (std::uint32_t step = 0; step < kComparedSteps; ++step) {
    batch.n_tokens = 0;
    for (std::uint32_t s = 0; s < count; ++s) add(s, kPrompt + step, true);
    EXPECT_EQ(llama_decode(context, batch), 0);
    for (std::uint32_t s = 0; s < count; ++s) {
      const float* row = llama_get_logits_ith(context, static_cast<std::int32_t>(s));
      logits[s].insert(logits[s].end(), row, row + vocabulary);
    }
  }
  llama_batch_free(batch);
  return logits;
}

// Logits that change when a sequence has 1 to 7 others beside it.
std::size_t changed_by_company(const LoadedModel& model) {
  std::vector<std::vector<float>> alone;
  for (std::uint32_t s = 0; s < kMostSequences; ++s) alone.push_back(decode(model, {s}).front());
  std::size_t changed = 0;
  for (std::uint32_t count = 2; count <= kMostSequences; ++count) {
    std::vector<std::uint32_t> names(count);
    // Another place for each, too.
    for (std::uint32_t i = 0; i < count; ++i) names[i] = (i + 3 * count) % kMostSequences;
    const auto together = decode(model, names);
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto& expected = alone[names[i]];
      EXPECT_EQ(together[i].size(), expected.size());
      for (std::size_t j = 0; j < expected.size(); ++j) {
        changed += std::memcmp(&together[i][j], &expected[j], sizeof(float)) != 0 ? 1U : 0U;
      }
    }
  }
  return changed;
}

TEST(LlamaKernels, UnknownKernelsAreAUsageError) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "tiny.gguf";
  ASSERT_TRUE(testing::write_tiny_model(path));
  ModelOptions options;
  options.path = path.string();
  options.kernels = "fast";
  const auto made = make_llama_engine(options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kUsage);
  EXPECT_EQ(made.error().place, "--kernels");
}

// These tests switch flash attention off, so that nothing but the products with weights is ours: they are invariant,
// and what is left to say against the model is this.
constexpr std::string_view kOnlyAttention = "flash attention is off (-fa), so attention is ggml's";

TEST(LlamaKernels, OneProcessHoldsAModelOfEachKind) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "tiny.gguf";
  ASSERT_TRUE(testing::write_tiny_model(path));
  const auto ours = load(path.string(), "bulkhead");
  const auto stock = load(path.string(), "stock");
  EXPECT_EQ(ours->facts().variance, kOnlyAttention);
  EXPECT_TRUE(ours->facts().kernels.starts_with("bulkhead (")) << ours->facts().kernels;
  // Seven matrices in each of six layers, and the output.
  EXPECT_EQ(ours->matrices().size(), 43U);
  EXPECT_TRUE(std::all_of(ours->matrices().begin(), ours->matrices().end(), [](const auto& m) { return m.bulkhead; }));
  EXPECT_FALSE(stock->facts().batch_invariant);
  EXPECT_EQ(stock->facts().kernels, "stock");
  EXPECT_EQ(stock->matrices().size(), 43U);
  EXPECT_TRUE(
      std::none_of(stock->matrices().begin(), stock->matrices().end(), [](const auto& m) { return m.bulkhead; }));
}

void company_changes_no_bit(const std::string& name) {
  for (const std::uint32_t threads : {1U, 2U}) {
    const auto ours = load(testing::model_file(name).string(), "bulkhead", threads);
    EXPECT_EQ(ours->facts().variance, kOnlyAttention);
    EXPECT_EQ(changed_by_company(*ours), 0U) << threads << " threads";
  }
}

TEST(ModelKernels, CompanyChangesNoLogitOfGemma) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  company_changes_no_bit(testing::kGemma);
}

TEST(ModelKernels, CompanyChangesNoLogitOfQwen) {
  BULKHEAD_NEED_MODEL(testing::kQwen);
  company_changes_no_bit(testing::kQwen);
}

TEST(ModelKernels, ThreadsChangeNoLogit) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  const auto path = testing::model_file(testing::kGemma).string();
  const auto one = decode(*load(path, "bulkhead", 1), {0, 1, 2});
  EXPECT_EQ(decode(*load(path, "bulkhead", 2), {0, 1, 2}), one);
  EXPECT_EQ(decode(*load(path, "bulkhead", 3), {0, 1, 2}), one);
}

// Without it the tests above could pass on a model that never shows the effect.
TEST(ModelKernels, StockLogitsDoChange) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  EXPECT_GT(changed_by_company(*load(testing::model_file(testing::kGemma).string(), "stock")), 0U);
}

// The first load packs and keeps, the second reads, the third finds damage and packs again.
TEST(ModelKernels, PackedWeightsKeptOnDiskGiveTheSameLogits) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  const auto path = testing::model_file(testing::kGemma).string();
  const auto expected = decode(*load(path, "bulkhead"), {0, 1, 2});
  const testing::TemporaryFolder folder;
  ASSERT_EQ(::setenv("BULKHEAD_PACKED", folder.path().c_str(), 1), 0);
  EXPECT_EQ(decode(*load(path, "stock"), {0}).size(), 1U);
  EXPECT_EQ(folder.entries(), 0U);
  EXPECT_EQ(decode(*load(path, "bulkhead"), {0, 1, 2}), expected);
  ASSERT_EQ(folder.entries(), 1U);
  const auto file = std::filesystem::directory_iterator(folder.path())->path();
  EXPECT_EQ(decode(*load(path, "bulkhead"), {0, 1, 2}), expected);
  {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file) / 2));
    stream << "damage";
  }
  EXPECT_EQ(decode(*load(path, "bulkhead"), {0, 1, 2}), expected);
  EXPECT_EQ(folder.entries(), 0U);
  ASSERT_EQ(::unsetenv("BULKHEAD_PACKED"), 0);
}

// Bytes of all weights in memory, read into it rather than mapped.
std::uint64_t weights_in_memory(bool shares_embedding) {
  const kernels::LoadScope scope(kernels::KernelChoice::kBulkhead, shares_embedding);
  auto params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  const ModelHandle model(llama_model_load_from_file(testing::model_file(testing::kGemma).c_str(), params));
  EXPECT_NE(model, nullptr);
  const ContextHandle context(llama_init_from_model(model.get(), llama_context_default_params()));
  EXPECT_NE(context, nullptr);
  std::uint64_t bytes = 0;
  for (const auto& [type, parts] : llama_get_memory_breakdown(context.get())) bytes += parts.model;
  return bytes;
}

// Gemma has no output matrix of its own: the packed embedding hands out rows too.
TEST(ModelKernels, TheSharedEmbeddingIsHeldOnce) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  start_backend();
  constexpr std::uint64_t kEmbedding = std::uint64_t{262144} * 640 / 32 * 34;  // Q8_0
  EXPECT_EQ(weights_in_memory(false) - weights_in_memory(true), kEmbedding);
}

}  // namespace
}  // namespace bulkhead::engines::llama
