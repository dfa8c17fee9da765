// SPDX-License-Identifier: MIT
#include "engines/llama/text_embedder.h"

#include "engines/llama/assertions.h"
#include "engines/llama/backend.h"
#include "engines/llama/gguf_check.h"
#include "engines/llama/kernels/kernels.h"
#include "engines/llama/loaded_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <numeric>
#include <span>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

Error refused(std::string reason, const std::string& path) {
  return Error{ErrorCode::kUnsupported, std::move(reason), path,
               "use an embedding model; scripts/embedding_model.sh makes one"};
}

Result<ModelHandle> load_weights(const std::string& path) {
  // Rounding of ours is for generating; here a text is embedded once, and f32 weights stay f32.
  const kernels::LoadScope scope(kernels::KernelChoice::kStock, false);
  ModelOptions options;
  options.path = path;
  return load_model_file(options, false);
}

Result<ContextHandle> make_context(llama_model* model, const std::string& path, std::uint32_t threads) {
  // Every token sees all others, so a text is one batch; a generating model may have been trained on far more.
  constexpr std::int32_t kMostTokens = 2048;
  const auto tokens = static_cast<std::uint32_t>(std::min(llama_model_n_ctx_train(model), kMostTokens));
  auto params = llama_context_default_params();
  params.n_ctx = tokens;
  params.n_batch = tokens;
  params.n_ubatch = tokens;
  params.n_seq_max = 1;
  params.n_threads = static_cast<std::int32_t>(threads > 0 ? threads : physical_cores());
  params.n_threads_batch = params.n_threads;
  params.embeddings = true;
  params.no_perf = true;
  const LoggedErrors errors;
  const AssertionScope assertions;
  ContextHandle context;
  std::string thrown;
  try {
    context.reset(llama_init_from_model(model, params));
  } catch (const std::exception& failure) {
    thrown = std::string(": ") + failure.what();
  }
  if (!context) {
    return Error{ErrorCode::kResource,
                 fmt::format("libllama cannot make a context of {} tokens: {}{}", tokens, errors.text(), thrown),
                 path,
                 {}};
  }
  const auto pooling = llama_pooling_type(context.get());
  if (pooling == LLAMA_POOLING_TYPE_NONE || pooling == LLAMA_POOLING_TYPE_RANK) {
    return refused("this model gives no vector of a text", path);
  }
  return context;
}

Result<std::vector<llama_token>> tokens_of(const llama_vocab* vocab, std::string_view text) {
  const AssertionScope assertions;
  try {
    const auto bytes = static_cast<std::int32_t>(text.size());
    const auto needed = -llama_tokenize(vocab, text.data(), bytes, nullptr, 0, true, false);
    std::vector<llama_token> tokens(static_cast<std::size_t>(std::max(needed, 0)));
    const auto made = llama_tokenize(vocab, text.data(), bytes, tokens.data(), needed, true, false);
    if (made != needed || made == 0) return Error{ErrorCode::kInternal, "libllama cannot tokenize a text", {}, {}};
    return tokens;
  } catch (const std::exception& failure) {
    return Error{ErrorCode::kBadInput, fmt::format("the model's tokenizer refuses a text: {}", failure.what()), {}, {}};
  }
}

Result<void> decode(llama_context* context, std::vector<llama_token>& tokens) {
  const AssertionScope assertions;
  try {
    const auto batch = llama_batch_get_one(tokens.data(), static_cast<std::int32_t>(tokens.size()));
    if (llama_decode(context, batch) == 0) return {};
  } catch (const std::exception& failure) {
    return Error{ErrorCode::kCorrupt, fmt::format("libllama cannot compute this model: {}", failure.what()), {}, {}};
  }
  return Error{ErrorCode::kInternal, "libllama failed to embed a text", {}, {}};
}

}  // namespace

struct TextEmbedder::State {
  ModelHandle weights;
  ContextHandle context;
};

void TextEmbedder::FreeState::operator()(State* state) const {
  delete state;  // NOLINT(cppcoreguidelines-owning-memory): what unique_ptr calls
}

Result<TextEmbedder> TextEmbedder::load(const std::string& path, std::uint32_t threads) {
  start_backend();
  BH_TRY([[maybe_unused]] const auto summary, check_gguf(path));
  BH_TRY(auto weights, load_weights(path));
  BH_TRY(auto context, make_context(weights.get(), path, threads));
  return TextEmbedder(
      std::unique_ptr<State, FreeState>(new State{.weights = std::move(weights), .context = std::move(context)}));
}

std::size_t TextEmbedder::dimensions() const {
  return static_cast<std::size_t>(llama_model_n_embd_out(state_->weights.get()));
}

std::uint32_t TextEmbedder::most_tokens() const {
  return llama_n_batch(state_->context.get());
}

Result<Embedding> TextEmbedder::embed(std::string_view text) {
  BH_TRY(auto tokens, tokens_of(llama_model_get_vocab(state_->weights.get()), text));
  Embedding embedding;
  if (tokens.size() > most_tokens()) {
    // The mark of the end stays: the model never saw a text without.
    const auto last = tokens.back();
    tokens.resize(most_tokens());
    tokens.back() = last;
    embedding.cut = true;
  }
  embedding.tokens = static_cast<std::uint32_t>(tokens.size());
  if (auto* memory = llama_get_memory(state_->context.get()); memory != nullptr) llama_memory_clear(memory, true);
  BH_CHECK(decode(state_->context.get(), tokens));
  const float* values = llama_get_embeddings_seq(state_->context.get(), 0);
  if (values == nullptr) return Error{ErrorCode::kInternal, "libllama gave no vector of a text", {}, {}};
  const std::span row(values, dimensions());
  const double length = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
  if (!std::isfinite(length) || length == 0) {
    return Error{ErrorCode::kInternal, fmt::format("the vector of a text has the length {}", length), {}, {}};
  }
  for (const float value : row) embedding.values.push_back(static_cast<float>(value / length));
  return embedding;
}

double cosine(const std::vector<float>& one, const std::vector<float>& other) {
  return std::inner_product(one.begin(), one.end(), other.begin(), 0.0);
}

}  // namespace bulkhead::engines::llama
