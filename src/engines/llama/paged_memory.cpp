// SPDX-License-Identifier: MIT
#include "engines/llama/paged_memory.h"

#include "engines/llama/kernels/attention_op.h"
#include "engines/llama/kernels/paged_attention.h"

// libllama's own classes: what its graphs are built from has no public form.
#include <../src/llama-context.h>
#include <../src/llama-kv-cache-iswa.h>
#include <../src/llama-kv-cache.h>
#include <../src/llama-model.h>

#include <memory>
#include <typeinfo>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

// Two private members of libllama, named by explicit instantiation, where access is not checked: when one of them gets
// another name or type, this stops compiling.
template <auto Member, typename Tag>
struct Expose {
  friend constexpr auto member(Tag /*tag*/) { return Member; }
};
// How many cells a context's views of keys and values show.
struct ShownCells {
  friend constexpr auto member(ShownCells tag);
};
template struct Expose<&llama_kv_cache_context::n_kv, ShownCells>;
struct Memory {
  friend constexpr auto member(Memory tag);
};
template struct Expose<&llama_context::memory, Memory>;
struct Parameters {
  friend constexpr auto member(Parameters tag);
};
template struct Expose<&llama_context::cparams, Parameters>;

using Slots = llama_kv_cache::slot_info;

// One computation of libllama.
struct Step {
  llama_ubatch ubatch;
  Slots slots;         // rows of layers that see everything
  Slots window_slots;  // rows of layers with a window
  std::vector<kernels::PageRun> runs;
};

// Where each token's cells go. Null: a page is not there, which the caller of the decode has seen to.
bool place(Step& step, PagePool& pool, const BoundTables& bound) {
  step.slots = step.window_slots = Slots{0, 0, {0}, {{}}};
  for (std::uint32_t i = 0; i < step.ubatch.n_tokens; ++i) {
    const auto id = static_cast<std::size_t>(step.ubatch.seq_id[i][0]);
    const auto* table = id < bound.size() ? bound[id] : nullptr;
    const auto position = static_cast<std::uint32_t>(step.ubatch.pos[i]);
    if (table == nullptr || position / kPageCells >= table->pages.size()) return false;
    const auto page = table->pages[position / kPageCells];
    const auto cell = position % kPageCells;
    step.slots.idxs[0].push_back(pool.row_of(page, cell, false));
    step.window_slots.idxs[0].push_back(pool.row_of(page, cell, true));
    pool.note_token(page, cell, step.ubatch.token[i]);
    auto* last = step.runs.empty() ? nullptr : &step.runs.back();
    const auto* pages = table->pages.data();
    if (last != nullptr && last->pages == pages && last->position + last->tokens == step.ubatch.pos[i]) {
      ++last->tokens;
    } else {
      step.runs.push_back({pages, static_cast<int>(i), 1, step.ubatch.pos[i]});
    }
  }
  return true;
}

// The batch in libllama's order, cut into what it computes at once; empty: it cannot be placed.
std::vector<Step> split(llama_batch_allocr& allocator, std::uint32_t most_tokens, PagePool& pool,
                        const BoundTables& bound) {
  std::vector<Step> steps;
  allocator.split_reset();
  for (;;) {
    auto ubatch = allocator.split_simple(most_tokens);
    if (ubatch.n_tokens == 0) break;
    steps.push_back({std::move(ubatch), {}, {}, {}});
    if (!place(steps.back(), pool, bound)) return {};
  }
  return steps;
}

// What both kinds of contexts do in the place of libllama's: no cell of the held cache is marked as used, so its mask
// hides all that it shows, and our attention asks the batch instead.
class Batches {
 public:
  Batches(const PagePool& pool, const std::vector<Step>& steps) {
    for (const auto& step : steps) batches_.emplace_back(pool.layers(), step.runs);
  }
  ~Batches() { static_cast<void>(kernels::AttentionScope::publish(nullptr)); }
  Batches(const Batches&) = delete;
  Batches& operator=(const Batches&) = delete;

  void next() { ++at_; }
  void publish() {
    const bool told = kernels::AttentionScope::publish(&batches_[at_]);
    GGML_ASSERT(told && "paged cells are decoded in an AttentionScope");
  }
  static void show_one_page(const llama_kv_cache_context& context) {
    // Its owner hands it out as const to those who build graphs.
    const_cast<llama_kv_cache_context&>(context).*member(ShownCells{}) = kPageCells;  // NOLINT(*-const-cast)
  }

 private:
  std::vector<kernels::PagedBatch> batches_;
  std::size_t at_ = 0;
};

std::vector<llama_ubatch> ubatches_of(const std::vector<Step>& steps) {
  std::vector<llama_ubatch> ubatches;
  ubatches.reserve(steps.size());
  for (const auto& step : steps) ubatches.push_back(step.ubatch);
  return ubatches;
}

std::vector<Slots> slots_of(const std::vector<Step>& steps, Slots Step::*which) {
  std::vector<Slots> slots;
  slots.reserve(steps.size());
  for (const auto& step : steps) slots.push_back(step.*which);
  return slots;
}

class PlainContext final : public llama_kv_cache_context {
 public:
  PlainContext(llama_kv_cache& cache, const PagePool& pool, const std::vector<Step>& steps)
      : llama_kv_cache_context(&cache, slots_of(steps, &Step::slots), ubatches_of(steps)), batches_(pool, steps) {}
  bool next() override {
    batches_.next();
    return llama_kv_cache_context::next();
  }
  bool apply() override {
    Batches::show_one_page(*this);
    batches_.publish();
    return true;
  }

 private:
  Batches batches_;
};

class WindowedContext final : public llama_kv_cache_iswa_context {
 public:
  WindowedContext(llama_kv_cache_iswa& cache, const PagePool& pool, const std::vector<Step>& steps)
      : llama_kv_cache_iswa_context(&cache, slots_of(steps, &Step::slots), slots_of(steps, &Step::window_slots),
                                    ubatches_of(steps)),
        batches_(pool, steps) {}
  bool next() override {
    batches_.next();
    return llama_kv_cache_iswa_context::next();
  }
  bool apply() override {
    Batches::show_one_page(*get_base());
    Batches::show_one_page(*get_swa());
    batches_.publish();
    return true;
  }

 private:
  Batches batches_;
};

// Holds the cache that libllama made. Sequences belong to the engine: what libllama asks of them is answered from the
// tables, and what it orders is done by the engine.
class PagedMemory final : public llama_memory_i {
 public:
  PagedMemory(PagePool& pool, const BoundTables& bound, std::unique_ptr<llama_memory_i> held)
      : pool_(&pool),
        bound_(&bound),
        held_(std::move(held)),
        plain_(dynamic_cast<llama_kv_cache*>(held_.get())),
        windowed_(dynamic_cast<llama_kv_cache_iswa*>(held_.get())) {}

  llama_memory_context_ptr init_batch(llama_batch_allocr& allocator, std::uint32_t n_ubatch,
                                      bool /*embeddings*/) override {
    const auto steps = split(allocator, n_ubatch, *pool_, *bound_);
    if (windowed_ != nullptr) {
      if (steps.empty()) return std::make_unique<llama_kv_cache_iswa_context>(LLAMA_MEMORY_STATUS_FAILED_PREPARE);
      return std::make_unique<WindowedContext>(*windowed_, *pool_, steps);
    }
    if (steps.empty()) return std::make_unique<llama_kv_cache_context>(LLAMA_MEMORY_STATUS_FAILED_PREPARE);
    return std::make_unique<PlainContext>(*plain_, *pool_, steps);
  }
  llama_memory_context_ptr init_full() override { return held_->init_full(); }
  llama_memory_context_ptr init_update(llama_context* context, bool optimize) override {
    return held_->init_update(context, optimize);
  }
  [[nodiscard]] bool get_can_shift() const override { return false; }

  void clear(bool /*data*/) override {}
  bool seq_rm(llama_seq_id /*id*/, llama_pos /*begin*/, llama_pos /*end*/) override { return true; }
  void seq_cp(llama_seq_id /*from*/, llama_seq_id /*to*/, llama_pos /*begin*/, llama_pos /*end*/) override {}
  void seq_keep(llama_seq_id /*id*/) override {}
  void seq_add(llama_seq_id /*id*/, llama_pos /*begin*/, llama_pos /*end*/, llama_pos /*shift*/) override {}
  void seq_div(llama_seq_id /*id*/, llama_pos /*begin*/, llama_pos /*end*/, int /*by*/) override {}
  [[nodiscard]] llama_pos seq_pos_min(llama_seq_id id) const override { return tokens_of(id) == 0 ? -1 : 0; }
  [[nodiscard]] llama_pos seq_pos_max(llama_seq_id id) const override {
    return static_cast<llama_pos>(tokens_of(id)) - 1;
  }
  [[nodiscard]] std::map<ggml_backend_buffer_type_t, std::size_t> memory_breakdown() const override { return {}; }
  void state_write(llama_io_write_i& /*out*/, llama_seq_id /*id*/, llama_state_seq_flags /*flags*/) const override {}
  void state_read(llama_io_read_i& /*in*/, llama_seq_id /*id*/, llama_state_seq_flags /*flags*/) override {}

 private:
  [[nodiscard]] std::uint32_t tokens_of(llama_seq_id id) const {
    const auto* table =
        static_cast<std::size_t>(id) < bound_->size() ? (*bound_)[static_cast<std::size_t>(id)] : nullptr;
    return table == nullptr ? 0 : table->tokens;
  }

  PagePool* pool_;
  const BoundTables* bound_;
  std::unique_ptr<llama_memory_i> held_;
  llama_kv_cache* plain_;
  llama_kv_cache_iswa* windowed_;
};

bool can_be_paged(const llama_memory_i& memory, const llama_hparams& hparams) {
  if (hparams.is_mla() || hparams.use_alibi || hparams.rope_type == LLAMA_ROPE_TYPE_MROPE ||
      hparams.rope_type == LLAMA_ROPE_TYPE_IMROPE) {
    return false;
  }
  if (const auto* plain = dynamic_cast<const llama_kv_cache*>(&memory); typeid(memory) == typeid(llama_kv_cache))
    return !plain->has_cell_ext();
  if (typeid(memory) != typeid(llama_kv_cache_iswa) || hparams.swa_type != LLAMA_SWA_TYPE_STANDARD) return false;
  return !dynamic_cast<const llama_kv_cache_iswa&>(memory).get_base()->has_cell_ext();
}

bool adopt(PagePool& pool, const llama_kv_cache& cache, int window) {
  // Values are reached through a view of them alone.
  constexpr std::size_t kViews = std::size_t{1} << 20U;
  const std::unique_ptr<ggml_context, decltype(&ggml_free)> views(
      ggml_init({.mem_size = kViews, .mem_buffer = nullptr, .no_alloc = true}), &ggml_free);
  const Slots some{0, 0, {0}, {{0}}};
  std::vector<ggml_tensor*> keys;
  std::vector<ggml_tensor*> values;
  for (const auto layer : cache.get_layer_ids()) {
    const auto index = static_cast<std::int32_t>(layer);
    keys.push_back(cache.get_k_storage(index));
    values.push_back(cache.get_v(views.get(), index, 1, some)->view_src);
  }
  return keys.empty() || pool.adopt(keys, values, window);
}

}  // namespace

bool attach_pages(llama_context& context, PagePool& pool, const BoundTables& bound, std::uint32_t context_tokens) {
  auto& memory = context.*member(Memory{});
  auto& parameters = context.*member(Parameters{});
  const auto& hparams = context.get_model().hparams;
  if (memory == nullptr || !parameters.flash_attn || !parameters.kv_unified || !can_be_paged(*memory, hparams))
    return false;
  if (const auto* windowed = dynamic_cast<const llama_kv_cache_iswa*>(memory.get()); windowed != nullptr) {
    if (!adopt(pool, *windowed->get_base(), 0)) return false;
    if (!adopt(pool, *windowed->get_swa(), static_cast<int>(hparams.n_swa))) return false;
  } else if (!adopt(pool, dynamic_cast<const llama_kv_cache&>(*memory), 0)) {
    return false;
  }
  memory = std::make_unique<PagedMemory>(pool, bound, std::move(memory));
  // What graphs look at: ropes of two scales choose by it.
  parameters.n_ctx = parameters.n_ctx_seq = context_tokens;
  return true;
}

}  // namespace bulkhead::engines::llama
