// SPDX-License-Identifier: MIT
// Attention over paged cells: position p of a sequence lies in row pages[p / 64] * stride + p % 64 of every layer's
// keys and values. A page is one block of the arithmetic (attention_table.h), and a query visits its own pages in the
// order of positions and nothing else; so the bits are those of cells that lie one after the other.
#pragma once

#include "engines/llama/kernels/attention_plan.h"
#include "engines/llama/kernels/attention_table.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

struct ggml_compute_params;
struct ggml_tensor;

namespace bulkhead::engines::llama::kernels {

// A tensor of paged keys. The values of its layer are paged in the same way.
struct PagedLayer {
  const ggml_tensor* keys = nullptr;  // the whole tensor, of which operations see a view
  int window = 0;                     // cells up to its own that a query sees; 0: all
  int stride = kBlockCells;           // rows from one page to the next
};

// Tokens of one sequence that stand side by side in a batch and follow one another in the sequence.
struct PageRun {
  const std::uint32_t* pages = nullptr;  // of the sequence, from position 0 on; valid as long as the batch
  int first = 0;                         // token of the batch
  int tokens = 0;
  int position = 0;  // of the first
};

// Some tokens of a run and some of the query heads that share a key-value head: what one tile computes.
struct PagedUnit {
  int run, token, tokens;
  int kv_head, group_head, heads;
  int first_block, end_block;  // those that any of the tokens sees
  std::size_t states;          // by block: where its states begin
};

// How the attention of one kind of layers is divided among threads; no division changes a bit.
struct PagedPlan {
  std::span<const PageRun> runs;
  AttentionSize size;  // tokens, streams and cells say nothing here
  PagedLayer layer;    // its window and stride; those of its kind are planned once
  int threads = 0;
  std::vector<PagedUnit> units;  // the largest first
  bool by_block = false;         // few units: the blocks of each are divided among the threads, then merged
  std::size_t scratch_floats = 0, state_floats = 0;

  [[nodiscard]] std::size_t bytes() const;
};

// What one computation of libllama (a ubatch) is about. Stays on its thread.
class PagedBatch {
 public:
  // `layers` must outlive it.
  PagedBatch(std::span<const PagedLayer> layers, std::vector<PageRun> runs) : layers_(layers), runs_(std::move(runs)) {}

  // The layer whose cells an operation reads; null: it reads no paged cells.
  [[nodiscard]] const PagedLayer* layer_of(const ggml_tensor* operation) const;
  // Made the first time that an operation of its kind comes by; valid as long as the batch.
  [[nodiscard]] const PagedPlan& plan(const AttentionSize& size, const PagedLayer& layer, int threads);

 private:
  std::span<const PagedLayer> layers_;
  std::vector<PageRun> runs_;
  std::vector<std::unique_ptr<PagedPlan>> plans_;
};

// One thread's part of the operation; all threads of params call it. The work area has plan.bytes().
void compute_paged(const ggml_compute_params& params, const ggml_tensor& operation, const PagedPlan& plan,
                   const AttentionTable& kernels);

}  // namespace bulkhead::engines::llama::kernels
