// SPDX-License-Identifier: MIT
// What a row sees of a block, the softmax of its scores there, and how blocks are merged into a row's result.
#pragma once

#include "engines/llama/kernels/attention_values.h"
#include "engines/llama/kernels/simd_math.h"

namespace bulkhead::engines::llama::kernels {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();
constexpr uint16_t kHiddenHalf = 0xfc00;  // -infinity

// One bit per visible cell among 64 mask entries. Reads four at a time: most words are all visible or all hidden.
BULKHEAD_INLINE uint64_t visible_cells(const uint16_t* mask) {
  constexpr uint64_t kHiddenFour = 0xfc00fc00fc00fc00U;
  constexpr uint64_t kOnes = 0x0001000100010001U;
  uint64_t seen = 0;
  for (int c = 0; c < kBlockCells; c += 4) {
    uint64_t four;
    memcpy(&four, mask + c, sizeof(four));
    four ^= kHiddenFour;
    if (four == 0) continue;
    // The subtraction borrows out of a quarter only when that quarter or a lower one is 0.
    if (((four - kOnes) & ~four & (kOnes << 15U)) == 0) {
      seen |= uint64_t{15} << static_cast<unsigned>(c);
      continue;
    }
    for (int i = 0; i < 4; ++i) {
      if (mask[c + i] != kHiddenHalf) seen |= uint64_t{1} << static_cast<unsigned>(c + i);
    }
  }
  return seen;
}

// The visible cells of a token in a block, and the mask as floats in bias[64] when there is any. Never reads past the
// mask's row: entries beyond `cells` count as hidden.
static uint64_t look_at_mask(const AttentionTile& tile, int token, int block, float* bias) {
  const int first = block * kBlockCells;
  const int count = tile.cells - first < kBlockCells ? tile.cells - first : kBlockCells;
  uint16_t entries[kBlockCells];
  const uint16_t* mask = entries;
  if (tile.mask == nullptr || count < kBlockCells) {
    for (int c = 0; c < kBlockCells; ++c) entries[c] = c < count ? uint16_t{0} : kHiddenHalf;
  }
  if (tile.mask != nullptr) {
    const char* row = tile.mask + static_cast<size_t>(token) * tile.mask_token;
    const uint16_t* from = reinterpret_cast<const uint16_t*>(row) + first;
    if (count < kBlockCells) {
      memcpy(entries, from, static_cast<size_t>(count) * sizeof(uint16_t));
    } else {
      mask = from;
    }
  }
  const uint64_t seen = visible_cells(mask);
  if (seen != 0) {
    for (int c = 0; c < kBlockCells; c += kLanes) store(bias + c, load_f16(mask + c));
  }
  return seen;
}

// The same of paged cells: those from `oldest` to the token's own position. Nothing is read.
static uint64_t look_at_position(const AttentionTile& tile, int token, int block, float* bias) {
  const int newest = tile.position + token - block * kBlockCells;  // both within the block
  const int oldest = tile.window == 0 || newest < tile.window ? 0 : newest - tile.window + 1;
  if (newest < 0 || oldest >= kBlockCells) return 0;
  const uint64_t up_to_newest =
      newest >= kBlockCells - 1 ? ~uint64_t{0} : (uint64_t{2} << static_cast<unsigned>(newest)) - 1;
  const uint64_t seen = up_to_newest & ~uint64_t{0} << static_cast<unsigned>(oldest);
  for (int c = 0; c < kBlockCells; ++c) {
    bias[c] = (seen >> static_cast<unsigned>(c) & 1U) != 0 ? 0.0F : kMinusInfinity;
  }
  return seen;
}

static CellList list_cells(uint64_t seen) {
  CellList list;
  list.count = 0;
  for (; seen != 0; seen &= seen - 1) list.cells[list.count++] = static_cast<uint8_t>(__builtin_ctzll(seen));
  return list;
}

// The largest of each row's sixteen lanes. Any order of comparing gives the same: no lane is NaN.
BULKHEAD_INLINE F32x16 largest_lanes(const float (*rows)[kLanes]) {
  float across[kLanes][kLanes];
  for (int r = 0; r < kLanes; ++r) {
    for (int i = 0; i < kLanes; ++i) across[i][r] = rows[r][i];
  }
  F32x16 largest = load(across[0]);
  for (int i = 1; i < kLanes; ++i) largest = max(load(across[i]), largest);
  return largest;
}

// Scores of one row in one block become what the softmax is taken of; hidden cells get -infinity. Returns the lanes'
// largest.
BULKHEAD_INLINE F32x16 mask_scores(const AttentionTile& tile, float slope, const float* bias, float* scores) {
  const F32x16 hidden = broadcast(kMinusInfinity);
  const F32x16 lowest = broadcast(-__FLT_MAX__);
  const F32x16 scale = broadcast(tile.softcap == 0.0F ? tile.scale : tile.scale / tile.softcap);
  F32x16 largest = hidden;
  for (int g = 0; g < kBlockCells; g += kLanes) {
    F32x16 s = mul(load(scores + g), scale);
    if (tile.softcap != 0.0F) s = mul(hyperbolic_tangent(s), broadcast(tile.softcap));
    const F32x16 mask = load(bias + g);
    // Chosen, not added: a hidden cell's score may be anything.
    s = where_less(mask, lowest, hidden, fma(mask, broadcast(slope), s));
    store(scores + g, s);
    largest = max(s, largest);
  }
  return largest;
}

// Masked scores of one row become weights: 0 for hidden cells. Returns the lanes of their sum.
BULKHEAD_INLINE F32x16 weigh_scores(float top, float* scores) {
  F32x16 sum = broadcast(0.0F);
  for (int g = 0; g < kBlockCells; g += kLanes) {
    const F32x16 weight = exponential(sub(load(scores + g), broadcast(top)));
    store(scores + g, weight);
    sum = add(sum, weight);
  }
  return sum;
}

BULKHEAD_INLINE float exponential_of(float x) {
  float lanes[kLanes];
  store(lanes, exponential(broadcast(x)));
  return lanes[0];
}

// The state of a row that has seen nothing.
static void clear_state(float* state, int value_size) {
  state[0] = kMinusInfinity;
  state[1] = 0.0F;
  for (int i = kLanes; i < state_floats(value_size); i += kLanes) store(state + i, broadcast(0.0F));
}

// Takes a block's largest score and sum into the state, and says how its values are to be taken in.
BULKHEAD_INLINE Merge take_block(float* state, float block_top, F32x16 block_sum) {
  const float top = state[0] > block_top ? state[0] : block_top;
  const Merge by = {exponential_of(state[0] - top), exponential_of(block_top - top)};
  state[0] = top;
  state[1] = 1.0F;
  store(state + kLanes, merged(load(state + kLanes), block_sum, by));
  return by;
}

// A row's state into its place of `out`.
static void finish_row(const AttentionTile& tile, int row, const float* state) {
  const int token = row / tile.heads;
  const int head = row % tile.heads;
  float sum = sum_of_lanes(load(state + kLanes));
  float factor = 1.0F;
  if (tile.sinks != nullptr) {
    // One more score, which has no value: it only takes weight away.
    const float sink = tile.sinks[head];
    if (sink > state[0]) {
      factor = exponential_of(state[0] - sink);
      sum = sum * factor + 1.0F;
    } else {
      sum += exponential_of(sink - state[0]);
    }
  }
  const F32x16 share = broadcast(sum == 0.0F ? 0.0F : factor / sum);
  char* place = tile.out + static_cast<size_t>(token) * tile.out_token + static_cast<size_t>(head) * tile.out_head;
  auto* out = reinterpret_cast<float*>(place);
  for (int d = 0; d < tile.value_size; d += kLanes) store(out + d, mul(load(state + kStateHeader + d), share));
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
