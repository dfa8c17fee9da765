// SPDX-License-Identifier: MIT
// What an instruction set offers for attention: the contract between the ggml operator (attention_op) and the kernels.
//
// The arithmetic, the same on every instruction set, bit for bit:
//   score(cell)  sixteen partial sums, lane j = fma over d = j, j + 16, ... ascending; then the fixed tree of simd.h
//   s            score * scale, soft-capped, plus slope * mask
//   block        64 cells, the first at a multiple of 64: its largest s, the sum of exp(s - largest) in sixteen lanes
//                (lane = cell mod 16) and sum over its visible cells, ascending, of exp(s - largest) * value
//   query        the blocks in which it sees a cell, merged in ascending order; sink; division by the sum
// So a query's result depends on its own vector, on the keys, values, mask entries and indices of the cells it sees,
// and on nothing else: not on cells it cannot see (NaN there is harmless), other queries, padding, the split of the
// work.
//
// Special values: a query that sees no cell gives zeros (as ggml's). NaN or infinity in a query or in a visible cell
// gives NaN or infinity to that query alone; the bits of a NaN may differ between instruction sets.
#pragma once

#include <stddef.h>  // NOLINT(modernize-deprecated-headers): see simd.h
#include <stdint.h>  // NOLINT(modernize-deprecated-headers)

namespace bulkhead::engines::llama::kernels {

enum class CellType { kF32, kF16, kBF16, kQ8_0, kQ4_0 };

// One key-value head of one stream, and the queries of some tokens and some of the heads that share it. Strides are in
// bytes. A row is one query: row = token * heads + head. At most kMaxRows rows.
struct AttentionTile {
  const char* queries;  // float [key_size] each
  size_t query_token, query_head;
  int tokens, heads;

  const char* keys;  // [cells][key_size]
  size_t key_cell;
  CellType key_type;
  int key_size;        // multiple of 16; of 32 when quantized
  const char* values;  // [cells][value_size]
  size_t value_cell;
  CellType value_type;
  int value_size;
  int cells;

  // Who sees what, of cells that lie one after the other: IEEE half [tokens][cells], shared by the heads; -infinity
  // hides a cell. Null: all are visible.
  const char* mask;
  size_t mask_token;
  // Of paged cells, in place of a mask; null: they are not paged. Block b lies pages[b] * page_stride cells behind
  // `keys` and `values`; token t sees the cells up to position + t, and of them the last `window` (0: all).
  const uint32_t* pages;
  int page_stride, position, window;
  const float* slopes;  // [heads]: the mask counts so many times
  const float* sinks;   // [heads], or null
  float scale;          // of the score, before soft-capping
  float softcap;        // softcap * tanh(s); 0: none

  char* out;  // float [value_size] each
  size_t out_token, out_head;
  float* scratch;  // scratch_floats(...)
  int prefetch;    // so many cells ahead is what this thread reads next
};

constexpr int kBlockCells = 64;
constexpr int kMaxRows = 64;
constexpr int kStateHeader = 32;  // [0] largest, [1] 1 if any cell was seen, [16..31] lanes of the sum; then the values

// Of one row: what a block, or several merged, came to.
static constexpr int state_floats(int value_size) {
  return kStateHeader + value_size;
}

// One thread's area for tiles of so many rows.
static constexpr int scratch_floats(int rows, int key_size, int value_size) {
  const int converted = kBlockCells * (key_size + value_size);
  return converted + rows * (2 * kBlockCells + state_floats(value_size));
}

// Thread rule: each call may run on any thread; calls that share no out, scratch or state may run at once.
struct AttentionTable {
  // All blocks, merged, into `out`.
  void (*attend)(const AttentionTile& tile);
  // One block alone: its state for each row into states + row * row_stride (floats).
  void (*attend_block)(const AttentionTile& tile, int block, float* states, size_t row_stride);
  // Merges the states of `blocks` blocks of one row, which lie one after the other, into its place of `out`. The same
  // bits as attend().
  void (*merge)(const AttentionTile& tile, int row, const float* states, int blocks);
};

extern const AttentionTable kAttentionScalar;
extern const AttentionTable kAttentionAvx2;
extern const AttentionTable kAttentionAvx512;
extern const AttentionTable kAttentionNeon;

}  // namespace bulkhead::engines::llama::kernels
