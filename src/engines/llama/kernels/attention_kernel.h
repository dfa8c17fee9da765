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
  float* keys;              // [64][key_size]
  float* values;            // [64][value_size]
  float* scores;            // [rows][64]; then weights
  float* bias;              // [tokens][64]
  float* states;            // [rows][state]
  uint64_t seen[kMaxRows];  // by token
};

static TilePass open_tile(const AttentionTile& tile) {
  TilePass pass = {tile, tile.tokens * tile.heads, false, {}, nullptr, nullptr, nullptr, nullptr, nullptr, {}};
  pass.convert = pass.rows > kGroupRows;
  for (int row = 0; row < pass.rows; ++row) {
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

// Weights of the rows of tokens [first, last), and their values. With `merge`, into the states at `states`; without,
// the block's own.
static void weigh_tokens(const TilePass& pass, const BlockCells& values, int first, int last, float* states,
                         size_t row_stride, bool merge) {
  const AttentionTile& tile = pass.tile;
  ValueRow rows[kMaxRows];
  int count = 0;
  for (int row = first * tile.heads; row < last * tile.heads; ++row, ++count) {
    float* scores = pass.scores + row * kBlockCells;
    float* state = states + static_cast<size_t>(row) * row_stride;
    F32x16 sum;
    const float top =
        soften(tile, tile.slopes[row % tile.heads], pass.bias + row / tile.heads * kBlockCells, scores, &sum);
    rows[count] = {scores, state + kStateHeader, {0.0F, 1.0F}};
    if (merge) {
      rows[count].merge = take_block(state, top, sum);
    } else {
      state[0] = top;
      state[1] = 1.0F;
      store(state + kLanes, sum);
    }
  }
  weigh_values(values, list_cells(pass.seen[first]), tile.value_size, rows, count, merge);
}

static void attend_cells(TilePass& pass, int block, float* states, size_t row_stride, bool merge) {
  const AttentionTile& tile = pass.tile;
  uint64_t any = 0;
  for (int t = 0; t < tile.tokens; ++t) any |= pass.seen[t] = look(tile, t, block, pass.bias + t * kBlockCells);
  if (!merge) {
    for (int row = 0; row < pass.rows; ++row) states[static_cast<size_t>(row) * row_stride + 1] = 0.0F;
  }
  if (any == 0) return;

  const int first = block * kBlockCells;
  const int count = tile.cells - first < kBlockCells ? tile.cells - first : kBlockCells;
  const char* keys = tile.keys + static_cast<size_t>(first) * tile.key_cell;
  const char* values = tile.values + static_cast<size_t>(first) * tile.value_cell;
  score_block(pass, open_block(keys, tile.key_cell, tile.key_type, tile.key_size, count, tile.prefetch, pass.convert,
                               pass.keys));
  const BlockCells open = open_block(values, tile.value_cell, tile.value_type, tile.value_size, count, tile.prefetch,
                                     pass.convert, pass.values);
  // Tokens next to each other that see the same cells share one pass over the values.
  for (int t = 0; t < tile.tokens;) {
    int next = t + 1;
    while (next < tile.tokens && pass.seen[next] == pass.seen[t]) ++next;
    if (pass.seen[t] != 0) weigh_tokens(pass, open, t, next, states, row_stride, merge);
    t = next;
  }
}

static int blocks_of(const AttentionTile& tile) {
  return (tile.cells + kBlockCells - 1) / kBlockCells;
}

static void attend(const AttentionTile& tile) {
  TilePass pass = open_tile(tile);
  const int stride = state_floats(tile.value_size);
  for (int row = 0; row < pass.rows; ++row) clear_state(pass.states + row * stride, tile.value_size);
  for (int block = 0; block < blocks_of(tile); ++block) {
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
