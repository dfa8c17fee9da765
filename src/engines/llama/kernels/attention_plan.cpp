// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/attention_plan.h"

#include "engines/llama/kernels/attention_table.h"

#include <algorithm>

namespace bulkhead::engines::llama::kernels {
namespace {

int divide_up(int a, int b) {
  return (a + b - 1) / b;
}

void count_tiles(AttentionPlan& plan, const AttentionSize& size) {
  plan.token_tiles = divide_up(size.tokens, plan.tile_tokens);
  plan.head_tiles = divide_up(size.heads / size.kv_heads, plan.tile_heads);
  plan.tiles = size.streams * size.kv_heads * plan.head_tiles * plan.token_tiles;
}

// States of all rows of all tiles, counting the last tiles as full.
std::size_t states_of(const AttentionPlan& plan, const AttentionSize& size) {
  const auto rows = static_cast<std::size_t>(plan.tiles) * static_cast<std::size_t>(plan.tile_tokens * plan.tile_heads);
  return rows * static_cast<std::size_t>(plan.blocks) * static_cast<std::size_t>(state_floats(size.value_size));
}

void split_for(AttentionPlan& plan, const AttentionSize& size, int threads) {
  // Four tiles per thread balance well; below that, blocks do it better than smaller tiles, which read keys more often.
  if (threads == 1 || plan.tiles >= 4 * threads) return;
  if (plan.blocks >= 2 * threads && states_of(plan, size) <= kMaxStateFloats) {
    plan.by_block = true;
    return;
  }
  while (plan.tiles < 2 * threads && plan.tile_tokens > 1) {
    plan.tile_tokens = divide_up(plan.tile_tokens, 2);
    count_tiles(plan, size);
  }
  while (plan.tiles < threads && plan.tile_heads > 1) {
    plan.tile_heads = divide_up(plan.tile_heads, 2);
    count_tiles(plan, size);
  }
}

}  // namespace

AttentionPlan plan_attention(const AttentionSize& size, int threads) noexcept {
  AttentionPlan plan;
  plan.tile_heads = std::min(size.heads / size.kv_heads, kMaxTileHeads);
  plan.tile_tokens = std::clamp(kMaxRows / plan.tile_heads, 1, std::max(size.tokens, 1));
  plan.blocks = divide_up(size.cells, kBlockCells);
  count_tiles(plan, size);
  plan.scratch_floats =
      static_cast<std::size_t>(scratch_floats(plan.tile_tokens * plan.tile_heads, size.key_size, size.value_size));
  split_for(plan, size, threads);
  if (plan.by_block) plan.state_floats = states_of(plan, size);
  return plan;
}

std::size_t AttentionPlan::bytes(int threads) const noexcept {
  return (scratch_floats * static_cast<std::size_t>(threads) + state_floats) * sizeof(float);
}

}  // namespace bulkhead::engines::llama::kernels
