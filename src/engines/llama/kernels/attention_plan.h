// SPDX-License-Identifier: MIT
// How the attention of one operation is divided among threads. No division changes a bit of the result
// (attention_table.h), so this is about speed and memory alone.
#pragma once

#include <cstddef>

namespace bulkhead::engines::llama::kernels {

// Heads of a tile at most: more would leave room for too few tokens.
inline constexpr int kMaxTileHeads = 16;
// What the states of blocks may take in all.
inline constexpr std::size_t kMaxStateFloats = std::size_t{8} << 20U;

// Sizes of one operation.
struct AttentionSize {
  int key_size = 0, value_size = 0;  // elements of a head
  int tokens = 0;                    // queries of one head in one stream
  int heads = 0, kv_heads = 0;
  int streams = 0;
  int cells = 0;
};

struct AttentionPlan {
  // A tile: some tokens and some of the query heads that share a key-value head.
  int tile_tokens = 0, tile_heads = 0;
  int token_tiles = 0, head_tiles = 0;  // per stream and per key-value head
  int tiles = 0;                        // in all
  int blocks = 0;                       // of cells
  // Whether the blocks of a tile are computed apart, then merged: for few tiles, so that every thread has work.
  bool by_block = false;
  std::size_t scratch_floats = 0;  // of one thread
  std::size_t state_floats = 0;    // of all tiles and blocks; 0 unless by_block
  // Bytes of work area that `threads` threads need.
  [[nodiscard]] std::size_t bytes(int threads) const noexcept;
};

// Fewer threads never need more than the plan for more threads does.
[[nodiscard]] AttentionPlan plan_attention(const AttentionSize& size, int threads) noexcept;

}  // namespace bulkhead::engines::llama::kernels
