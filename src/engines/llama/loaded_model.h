// SPDX-License-Identifier: MIT
// A model as an engine uses it: shared weights, what it tells about itself with these options, and what contexts cost.
#pragma once

#include "engine/engine.h"
#include "engines/llama/cache_map.h"
#include "engines/llama/kernels/attention_op.h"
#include "engines/llama/weights.h"

#include <bulkhead/options.h>
#include <llama.h>

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace bulkhead::engines::llama {

struct FreeContext {
  void operator()(llama_context* context) const { llama_free(context); }
};
using ContextHandle = std::unique_ptr<llama_context, FreeContext>;

// Tokens decoded at a time in a prefill: chunk boundaries lie at its multiples, counted from the call's first token.
// With 512 the activations of a large model's layer no longer stay in a cache: measured on Zen 5, 512 tokens of Qwen
// 1.5B take 1.19 s in one chunk, 1.13 s in two or four, of Gemma 270M 0.166, 0.144 and 0.147 s.
inline constexpr std::uint32_t kChunkTokens = 256;
// Tokens scored at a time: each costs one row of logits.
inline constexpr std::uint32_t kScoreTokens = 32;
// libllama's limit of sequences in one context.
inline constexpr std::uint32_t kMostSequences = 256;

// Bytes of one context, as libllama would allocate them.
struct Footprint {
  std::uint64_t kv = 0;                                   // KV buffers of all sequences
  std::uint64_t work = 0;                                 // compute buffers and logits
  std::uint64_t on_host = 0;                              // part of kv + work that lies in main memory
  std::map<ggml_backend_dev_t, std::uint64_t> on_device;  // the rest

  [[nodiscard]] std::uint64_t total() const { return kv + work; }
};

// Read-only once loaded: any number of engines may use it, each on a thread of its own.
class LoadedModel {
 public:
  // Loads the weights unless they are there (Weights::load), and decides what isolation holds. Safe on any thread.
  // kUnsupported when options.isolation is strict and that does not hold; the message names the flag, the matrix or the
  // operator. Other errors as for make_llama_engine().
  [[nodiscard]] static Result<std::shared_ptr<const LoadedModel>> load(const ModelOptions& options);

  [[nodiscard]] const engine::Facts& facts() const { return facts_; }
  [[nodiscard]] const llama_model* model() const { return weights_->model(); }
  [[nodiscard]] const llama_vocab* vocab() const { return llama_model_get_vocab(weights_->model()); }

  // Each weight matrix, and whether our kernels multiply with it.
  [[nodiscard]] const std::vector<kernels::MatrixPath>& matrices() const { return weights_->matrices(); }

  // Cells of a sequence of `tokens` tokens: libllama pads to 256.
  [[nodiscard]] static std::uint32_t padded(std::uint32_t tokens) { return (tokens + 255U) / 256U * 256U; }

  // One context for `sequences` (1 to 256) sequences of `tokens_each` tokens. kResource when libllama cannot make it.
  // `cache`, if given, must outlive the context and learns where its cells lie.
  [[nodiscard]] Result<ContextHandle> make_context(std::uint32_t sequences, std::uint32_t tokens_each,
                                                   CacheMap* cache = nullptr) const;
  // What make_context() would allocate; allocates nothing. kUnsupported when the model cannot run with these options.
  [[nodiscard]] Result<Footprint> footprint(std::uint32_t sequences, std::uint32_t tokens_each) const;
  [[nodiscard]] Guard guard() const { return options_.guard; }
  // Each sequence has cells of its own in main memory, position p in cell p.
  [[nodiscard]] bool cells_in_order() const;
  // libllama notes more of a cell than its position: models that see pictures count in more than one direction.
  [[nodiscard]] bool cells_have_places() const;
  // What computes attention in contexts of this model: decodes must run in an AttentionScope of it.
  [[nodiscard]] kernels::AttentionChoice attention() const { return attention_; }
  // KV bytes of one sequence that holds `tokens` tokens, of which those from `first_position` on are in the window.
  [[nodiscard]] std::uint64_t kv_bytes(std::uint32_t tokens, std::int64_t first_position) const;

 private:
  LoadedModel(ModelOptions options, std::shared_ptr<const Weights> weights)
      : options_(std::move(options)), weights_(std::move(weights)) {}
  [[nodiscard]] Result<void> note_facts();
  [[nodiscard]] Result<void> choose_isolation();
  [[nodiscard]] Result<void> measure_cells();
  [[nodiscard]] Result<std::string> find_variance() const;
  [[nodiscard]] Result<std::string> attention_of_ggml() const;
  [[nodiscard]] llama_context_params context_params(std::uint32_t sequences, std::uint32_t tokens_each) const;
  [[nodiscard]] Result<ContextHandle> make(llama_model* model, std::uint32_t sequences, std::uint32_t tokens_each,
                                           CacheMap* cache = nullptr) const;

  ModelOptions options_;
  std::shared_ptr<const Weights> weights_;
  engine::Facts facts_;
  kernels::AttentionChoice attention_ = kernels::AttentionChoice::kStock;
  std::uint64_t full_cell_bytes_ = 0;    // one token in the layers that keep all tokens
  std::uint64_t window_cell_bytes_ = 0;  // one token in the layers that keep a window
};

}  // namespace bulkhead::engines::llama
