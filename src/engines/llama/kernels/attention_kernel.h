// SPDX-License-Identifier: MIT
// The attention of one tile: what every instruction set's table is made of. Included once by each attention_SET.cpp.
#pragma once

#include "engines/llama/kernels/attention_softmax.h"

namespace bulkhead::engines::llama::kernels {
namespace {

// One thread's way through a tile: the areas of its scratch, and what the block at hand looks like.
struct TilePass {
  const AttentionTile& tile;
  int rows;
  bool convert;  // many rows read each block: widen it once
  const float* queries[kMaxRows];
  float* keys;                 // [64][key_size]
  float* values;               // [64][value_size]
  float* scores;               // [rows][64]; then weights
  float* bias;                 // [tokens][64]
  float* states;               // [rows][state]
  uint64_t seen[kMaxRows];     // by token
  float tops[kMaxRows];        // by row: the largest score of the merged blocks
  ValueRow weighed[kMaxRows];  // by row: this block's part
};

static TilePass open_tile(const AttentionTile& tile) {
  TilePass pass = {tile, tile.tokens * tile.heads, false, {}, nullptr, nullptr, nullptr, nullptr, nullptr, {}, {}, {}};
  pass.convert = pass.rows > kGroupRows;
  for (int row = 0; row < pass.rows; ++row) {
    pass.tops[row] = kMinusInfinity;
    pass.queries[row] =
        reinterpret_cast<const float*>(tile.queries + static_cast<size_t>(row / tile.heads) * tile.query_token +
                                       static_cast<size_t>(row % tile.heads) * tile.query_head);
  }
  pass.keys = tile.scratch;
  pass.values = pass.keys + kBlockCells * tile.key_size;
  pass.scores = pass.values + kBlockCells * tile.value_size;
  pass.bias = pass.scores + pass.rows * kBlockCells;
  pass.states = pass.bias + pass.rows * kBlockCells;
  return pass;
}

// What any of the rows' tokens sees.
BULKHEAD_INLINE uint64_t seen_by(const TilePass& pass, int first_row, int rows) {
  uint64_t seen = 0;
  for (int t = first_row / pass.tile.heads; t <= (first_row + rows - 1) / pass.tile.heads; ++t) seen |= pass.seen[t];
  return seen;
}

static void score_block(const TilePass& pass, const BlockCells& keys) {
  for (int cell = 0; cell < keys.count; cell += kLanes) {
    for (int row = 0; row < pass.rows;) {
      const int group = group_rows(pass.rows - row);
      if ((seen_by(pass, row, group) >> static_cast<unsigned>(cell) & 0xffffU) != 0) {
        score_cells(keys, cell, pass.tile.key_size, pass.queries + row, group, pass.scores + row * kBlockCells);
      }
      row += group;
    }
  }
}

// Weights of the rows [first, first + count), at most sixteen, from their scores. With `merge`, the rows' states take
// in the block's largest score and sum; without, they become the block's own.
static void soften(TilePass& pass, int first, int count, float* states, size_t row_stride, bool merge) {
  const AttentionTile& tile = pass.tile;
  float lanes[kLanes][kLanes];
  for (auto& row_lanes : lanes) store(row_lanes, broadcast(kMinusInfinity));
  for (int i = 0; i < count; ++i) {
    const int row = first + i;
    const float* bias = pass.bias + row / tile.heads * kBlockCells;
    store(lanes[i], mask_scores(tile, tile.slopes[row % tile.heads], bias, pass.scores + row * kBlockCells));
  }
  float tops[kLanes];
  float merged_tops[kLanes];
  float earlier[kLanes];
  float block[kLanes];
  const F32x16 top = largest_lanes(lanes);
  store(tops, top);
  for (int i = 0; i < kLanes; ++i) merged_tops[i] = i < count ? pass.tops[first + i] : 0.0F;
  const F32x16 before = load(merged_tops);
  const F32x16 after = max(before, top);
  store(merged_tops, after);
  store(earlier, exponential(sub(before, after)));
  store(block, exponential(sub(top, after)));

  for (int i = 0; i < count; ++i) {
    const int row = first + i;
    float* scores = pass.scores + row * kBlockCells;
    float* state = states + static_cast<size_t>(row) * row_stride;
    const F32x16 sum = weigh_scores(tops[i], scores);
    pass.weighed[row] = {scores, state + kStateHeader, {earlier[i], block[i]}};
    store(state + kLanes, merge ? merged(load(state + kLanes), sum, pass.weighed[row].merge) : sum);
    pass.tops[row] = merged_tops[i];
    state[0] = merge ? merged_tops[i] : tops[i];
    state[1] = 1.0F;
  }
}

// The softmax of all rows whose token sees anything of the block.
static void soften_block(TilePass& pass, float* states, size_t row_stride, bool merge) {
  const int heads = pass.tile.heads;
  for (int t = 0; t < pass.tile.tokens;) {
    int next = t;
    while (next < pass.tile.tokens && pass.seen[next] != 0) ++next;
    for (int row = t * heads; row < next * heads; row += kLanes) {
      const int left = next * heads - row;
      soften(pass, row, left < kLanes ? left : kLanes, states, row_stride, merge);
    }
    t = next + 1;
  }
}

// Where a block's cells begin, in cells behind tile.keys.
BULKHEAD_INLINE size_t first_cell(const AttentionTile& tile, int block) {
  if (tile.pages == nullptr) return static_cast<size_t>(block) * kBlockCells;
  return static_cast<size_t>(tile.pages[block]) * static_cast<size_t>(tile.page_stride);
}

// From a block's cells to those that this thread reads next: what a prefetch may ask for. Of paged cells never
// another's: behind the last of its own there is none.
BULKHEAD_INLINE ptrdiff_t cells_ahead(const AttentionTile& tile, int block) {
  if (tile.pages == nullptr) return tile.prefetch;
  const int next = block + tile.prefetch / kBlockCells;
  if (next * kBlockCells >= tile.cells) return 0;
  return static_cast<ptrdiff_t>(first_cell(tile, next)) - static_cast<ptrdiff_t>(first_cell(tile, block));
}

BULKHEAD_INLINE uint64_t look(const TilePass& pass, int token, int block) {
  float* bias = pass.bias + token * kBlockCells;
  return pass.tile.pages == nullptr ? look_at_mask(pass.tile, token, block, bias)
                                    : look_at_position(pass.tile, token, block, bias);
}

static void attend_cells(TilePass& pass, int block, float* states, size_t row_stride, bool merge) {
  const AttentionTile& tile = pass.tile;
  uint64_t any = 0;
  for (int t = 0; t < tile.tokens; ++t) any |= pass.seen[t] = look(pass, t, block);
  if (!merge) {
    for (int row = 0; row < pass.rows; ++row) states[static_cast<size_t>(row) * row_stride + 1] = 0.0F;
  }
  if (any == 0) return;

  const int first = block * kBlockCells;
  const int count = tile.cells - first < kBlockCells ? tile.cells - first : kBlockCells;
  const size_t at = first_cell(tile, block);
  const ptrdiff_t ahead = cells_ahead(tile, block);
  score_block(pass, open_block(tile.keys + at * tile.key_cell, tile.key_cell, tile.key_type, tile.key_size, count,
                               ahead * static_cast<ptrdiff_t>(tile.key_cell), pass.convert, pass.keys));
  const BlockCells open =
      open_block(tile.values + at * tile.value_cell, tile.value_cell, tile.value_type, tile.value_size, count,
                 ahead * static_cast<ptrdiff_t>(tile.value_cell), pass.convert, pass.values);
  soften_block(pass, states, row_stride, merge);
  // Tokens next to each other that see the same cells share one pass over the values.
  for (int t = 0; t < tile.tokens;) {
    int next = t + 1;
    while (next < tile.tokens && pass.seen[next] == pass.seen[t]) ++next;
    if (pass.seen[t] != 0) {
      weigh_values(open, list_cells(pass.seen[t]), tile.value_size, pass.weighed + t * tile.heads,
                   (next - t) * tile.heads, merge);
    }
    t = next;
  }
}

static int blocks_of(const AttentionTile& tile) {
  return (tile.cells + kBlockCells - 1) / kBlockCells;
}

// The first block that any token sees. A mask tells only where it is looked at.
static int first_block(const AttentionTile& tile) {
  const bool windowed = tile.pages != nullptr && tile.window != 0 && tile.position >= tile.window;
  return windowed ? (tile.position - tile.window + 1) / kBlockCells : 0;
}

static void attend(const AttentionTile& tile) {
  TilePass pass = open_tile(tile);
  const int stride = state_floats(tile.value_size);
  for (int row = 0; row < pass.rows; ++row) clear_state(pass.states + row * stride, tile.value_size);
  for (int block = first_block(tile); block < blocks_of(tile); ++block) {
    attend_cells(pass, block, pass.states, static_cast<size_t>(stride), true);
  }
  for (int row = 0; row < pass.rows; ++row) finish_row(tile, row, pass.states + row * stride);
}

static void attend_block(const AttentionTile& tile, int block, float* states, size_t row_stride) {
  TilePass pass = open_tile(tile);
  attend_cells(pass, block, states, row_stride, false);
}

static void merge(const AttentionTile& tile, int row, const float* states, int blocks) {
  const int size = state_floats(tile.value_size);
  float* state = tile.scratch;
  clear_state(state, tile.value_size);
  for (int block = 0; block < blocks; ++block, states += size) {
    if (states[1] == 0.0F) continue;
    const Merge by = take_block(state, states[0], load(states + kLanes));
    for (int i = kStateHeader; i < size; i += kLanes) store(state + i, merged(load(state + i), load(states + i), by));
  }
  finish_row(tile, row, state);
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
