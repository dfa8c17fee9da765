// SPDX-License-Identifier: MIT
// A model as an engine uses it: shared weights, what it tells about itself with these options, and what contexts cost.
#pragma once

#include "engine/engine.h"
#include "engines/llama/cache_map.h"
#include "engines/llama/cells.h"
#include "engines/llama/kernels/attention_op.h"
#include "engines/llama/paged_memory.h"
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
  // Cells lie in pages (paged_cells.h): attention is ours, and libllama's memory of this model can be exchanged.
  [[nodiscard]] bool paged() const { return paged_; }
  // One context for all sequences of an engine, its cells in `pool`; as many of them in a decode as `bound` has
  // elements. kUnsupported: this model's memory cannot be paged.
  [[nodiscard]] Result<ContextHandle> make_paged_context(PagePool& pool, const BoundTables& bound) const;
  // Compute buffers of a context, and its logits for `rows` rows.
  [[nodiscard]] std::uint64_t work_bytes_of(const llama_context& context, std::uint32_t rows) const;
  // kBadInput: no room at all; kResource: more than the context of this model.
  [[nodiscard]] Result<void> check_capacity(std::uint32_t tokens_each) const;
  // Cells of windowed layers stay when the window has moved on.
  [[nodiscard]] bool keeps_whole_window() const { return options_.full_window_cache; }
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
  [[nodiscard]] bool can_be_paged() const;
  [[nodiscard]] llama_context_params context_params(std::uint32_t sequences, std::uint32_t tokens_each) const;
  [[nodiscard]] Result<ContextHandle> make(llama_model* model, const llama_context_params& params) const;

  ModelOptions options_;
  std::shared_ptr<const Weights> weights_;
  engine::Facts facts_;
  kernels::AttentionChoice attention_ = kernels::AttentionChoice::kStock;
  bool paged_ = false;
  std::uint64_t full_cell_bytes_ = 0;    // one token in the layers that keep all tokens
  std::uint64_t window_cell_bytes_ = 0;  // one token in the layers that keep a window
};

}  // namespace bulkhead::engines::llama
