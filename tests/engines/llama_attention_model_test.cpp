// SPDX-License-Identifier: MIT
// Our attention inside libllama: the same text is as probable as with ggml's own attention, for full and windowed
// layers, F16 and Q8_0 caches, one chunk and several. Weights stay on ggml's stock path, so bits are not compared here.
#include "engines/llama/backend.h"
#include "engines/llama/kernels/attention_op.h"
#include "engines/real_models.h"
#include "paths.h"

#include <gtest/gtest.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

namespace bulkhead::testing {
namespace {

namespace kernels = engines::llama::kernels;

using LoadedModel = std::unique_ptr<llama_model, decltype(&llama_model_free)>;
using Context = std::unique_ptr<llama_context, decltype(&llama_free)>;

constexpr int kTokens = 700;  // past Gemma's window of 512

std::vector<llama_token> text_tokens(const llama_model* model) {
  std::ifstream file(testing::source_folder() + "/README.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<llama_token> tokens(text.size() + 8);
  const int count = llama_tokenize(llama_model_get_vocab(model), text.data(), static_cast<int>(text.size()),
                                   tokens.data(), static_cast<int>(tokens.size()), true, false);
  tokens.resize(static_cast<std::size_t>(std::clamp(count, 0, kTokens)));
  return tokens;
}

double log_probability(const float* logits, int vocabulary, llama_token token) {
  const float largest = *std::max_element(logits, logits + vocabulary);
  double sum = 0;
  for (int i = 0; i < vocabulary; ++i) sum += std::exp(static_cast<double>(logits[i] - largest));
  return static_cast<double>(logits[token] - largest) - std::log(sum);
}

// Mean negative log probability of the tokens, prefilled in chunks.
double surprise(llama_model* model, const std::vector<llama_token>& tokens, ggml_type cache, int chunk,
                kernels::AttentionChoice choice) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 1024;
  params.n_batch = params.n_ubatch = static_cast<std::uint32_t>(chunk);
  params.n_threads = params.n_threads_batch = 2;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  params.type_k = params.type_v = cache;
  const kernels::AttentionScope scope(choice);
  const Context context(llama_init_from_model(model, params), &llama_free);
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  const int count = static_cast<int>(tokens.size());
  double sum = 0;
  llama_batch batch = llama_batch_init(chunk, 0, 1);
  for (int first = 0; first < count; first += chunk) {
    batch.n_tokens = std::min(chunk, count - first);
    for (int i = 0; i < batch.n_tokens; ++i) {
      batch.token[i] = tokens[static_cast<std::size_t>(first + i)];
      batch.pos[i] = first + i;
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = 0;
      batch.logits[i] = 1;
    }
    EXPECT_EQ(llama_decode(context.get(), batch), 0);
    for (int i = 0; i < batch.n_tokens && first + i + 1 < count; ++i) {
      sum -= log_probability(llama_get_logits_ith(context.get(), i), vocabulary,
                             tokens[static_cast<std::size_t>(first + i + 1)]);
    }
  }
  llama_batch_free(batch);
  return sum / (count - 1);
}

class ModelLlamaAttention : public ::testing::TestWithParam<std::string> {};

TEST_P(ModelLlamaAttention, TextIsAsProbableAsWithGgmlsAttention) {
  BULKHEAD_NEED_MODEL(GetParam());
  engines::llama::start_backend();
  kernels::install_attention();
  const LoadedModel model(llama_model_load_from_file(model_file(GetParam()).c_str(), llama_model_default_params()),
                          &llama_model_free);
  ASSERT_NE(model, nullptr);
  const auto tokens = text_tokens(model.get());
  ASSERT_EQ(tokens.size(), static_cast<std::size_t>(kTokens));
  for (const ggml_type cache : {GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
    const double stock = surprise(model.get(), tokens, cache, 256, kernels::AttentionChoice::kStock);
    for (const int chunk : {256, 50}) {
      const auto taken = kernels::attention_taken();
      const auto fell_through = kernels::attention_fell_through();
      const double ours = surprise(model.get(), tokens, cache, chunk, kernels::AttentionChoice::kBulkhead);
      EXPECT_GT(kernels::attention_taken(), taken) << "the operator was never asked";
      EXPECT_EQ(kernels::attention_fell_through(), fell_through);
      EXPECT_NEAR(ours, stock, 0.02) << ggml_type_name(cache) << " chunk " << chunk;
      RecordProperty(std::string(ggml_type_name(cache)) + "_" + std::to_string(chunk),
                     std::to_string(ours) + " stock " + std::to_string(stock));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ModelLlamaAttention, ::testing::Values(kGemma, kQwen),
                         [](const auto& chosen) { return chosen.param == kGemma ? "Gemma" : "Qwen"; });

}  // namespace
}  // namespace bulkhead::testing
