// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/paged_attention.h"

#include "engines/llama/kernels/attention_operation.h"

#include <ggml-cpu-impl.h>

#include <algorithm>

namespace bulkhead::engines::llama::kernels {
namespace {

// How much a unit takes, roughly: opening a block costs as much as some rows.
int cost(const PagedUnit& unit) {
  constexpr int kRowsOfOpening = 8;
  return (unit.end_block - unit.first_block) * (unit.tokens * unit.heads + kRowsOfOpening);
}

// The units of one run: heads of a group together, and as many tokens as a tile takes.
void add_units(PagedPlan& plan, int index, const PageRun& run) {
  const int group = plan.size.heads / plan.size.kv_heads;
  const int heads = std::min(group, kMaxTileHeads);
  const int tokens = std::max(kMaxRows / heads, 1);
  for (int token = 0; token < run.tokens; token += tokens) {
    const int position = run.position + token;
    PagedUnit unit{};
    unit.run = index;
    unit.token = token;
    unit.tokens = std::min(tokens, run.tokens - token);
    unit.first_block = plan.layer.window == 0 ? 0 : std::max(position - plan.layer.window + 1, 0) / kBlockCells;
    unit.end_block = (position + unit.tokens - 1) / kBlockCells + 1;
    for (int head = 0; head < plan.size.heads; head += unit.heads) {
      unit.kv_head = head / group;
      unit.group_head = head % group;
      unit.heads = std::min(heads, group - unit.group_head);
      const int floats = scratch_floats(unit.tokens * unit.heads, plan.size.key_size, plan.size.value_size);
      plan.scratch_floats = std::max(plan.scratch_floats, static_cast<std::size_t>(floats));
      plan.units.push_back(unit);
    }
  }
}

// Four units for each thread balance well; of fewer, the blocks are divided, if there are enough and their states are
// not too many.
void divide_blocks(PagedPlan& plan) {
  int blocks = 0;
  for (const auto& unit : plan.units) blocks += unit.end_block - unit.first_block;
  const int units = static_cast<int>(plan.units.size());
  if (plan.threads == 1 || units >= 4 * plan.threads || blocks < 2 * plan.threads) return;
  std::size_t states = 0;
  for (auto& unit : plan.units) {
    unit.states = states;
    states += static_cast<std::size_t>(unit.tokens) * static_cast<std::size_t>(unit.heads) *
              static_cast<std::size_t>(unit.end_block - unit.first_block) *
              static_cast<std::size_t>(state_floats(plan.size.value_size));
  }
  if (states > kMaxStateFloats) return;
  plan.by_block = true;
  plan.state_floats = states;
}

class Tiles {
 public:
  Tiles(const ggml_tensor& operation, const PagedPlan& plan, float* scratch)
      : operation_(&operation),
        plan_(&plan),
        slopes_(static_cast<std::size_t>(plan.size.heads), 1.0F),
        tile_(common_tile(&operation, scratch)) {
    tile_.window = plan.layer.window;
    tile_.page_stride = plan.layer.stride;
    tile_.prefetch = kBlockCells;  // of the same unit: every thread goes through neighbouring blocks
  }

  [[nodiscard]] AttentionTile at(const PagedUnit& unit) const {
    const auto& run = plan_->runs[static_cast<std::size_t>(unit.run)];
    const auto* const* sources = &operation_->src[0];
    AttentionTile tile = tile_;
    tile.tokens = unit.tokens;
    tile.heads = unit.heads;
    tile.pages = run.pages;
    tile.position = run.position + unit.token;
    tile.cells = tile.position + unit.tokens;
    const auto token = static_cast<std::size_t>(run.first + unit.token);
    const auto head =
        static_cast<std::size_t>(unit.kv_head * (plan_->size.heads / plan_->size.kv_heads) + unit.group_head);
    const auto kv_head = static_cast<std::size_t>(unit.kv_head);
    tile.queries = bytes_of(sources[0]) + token * tile.query_token + head * tile.query_head;
    tile.keys = bytes_of(sources[1]) + kv_head * sources[1]->nb[2];
    tile.values = bytes_of(sources[2]) + kv_head * sources[2]->nb[2];
    tile.out = static_cast<char*>(operation_->data) + token * tile.out_token + head * tile.out_head;
    tile.slopes = slopes_.data();
    if (sources[4] != nullptr) tile.sinks = static_cast<const float*>(sources[4]->data) + head;
    return tile;
  }

 private:
  const ggml_tensor* operation_;
  const PagedPlan* plan_;
  std::vector<float> slopes_;
  AttentionTile tile_;
};

// Whole units, each on the thread that comes for it first.
void compute_units(const ggml_compute_params& params, const Tiles& tiles, const PagedPlan& plan,
                   const AttentionTable& kernels) {
  if (params.nth > 1) {
    if (params.ith == 0) ggml_threadpool_chunk_set(params.threadpool, params.nth);
    ggml_barrier(params.threadpool);
  }
  for (int i = params.ith; i < static_cast<int>(plan.units.size());) {
    kernels.attend(tiles.at(plan.units[static_cast<std::size_t>(i)]));
    i = params.nth > 1 ? ggml_threadpool_chunk_add(params.threadpool, 1) : i + 1;
  }
}

// Each thread a part of every unit's blocks, then the rows in turn.
void compute_blocks(const ggml_compute_params& params, const Tiles& tiles, const PagedPlan& plan,
                    const AttentionTable& kernels, float* states) {
  const auto state = static_cast<std::size_t>(state_floats(plan.size.value_size));
  const auto blocks_of = [](const PagedUnit& unit) { return unit.end_block - unit.first_block; };
  for (const auto& unit : plan.units) {
    const int blocks = blocks_of(unit);
    const AttentionTile tile = tiles.at(unit);
    for (int b = blocks * params.ith / params.nth; b < blocks * (params.ith + 1) / params.nth; ++b) {
      kernels.attend_block(tile, unit.first_block + b, states + unit.states + static_cast<std::size_t>(b) * state,
                           static_cast<std::size_t>(blocks) * state);
    }
  }
  ggml_barrier(params.threadpool);
  int turn = 0;
  for (const auto& unit : plan.units) {
    const AttentionTile tile = tiles.at(unit);
    const auto row_floats = static_cast<std::size_t>(blocks_of(unit)) * state;
    for (int row = 0; row < tile.tokens * tile.heads; ++row) {
      if (turn++ % params.nth != params.ith) continue;
      kernels.merge(tile, row, states + unit.states + static_cast<std::size_t>(row) * row_floats, blocks_of(unit));
    }
  }
}

}  // namespace

std::size_t PagedPlan::bytes() const {
  return (scratch_floats * static_cast<std::size_t>(threads) + state_floats) * sizeof(float);
}

const PagedLayer* PagedBatch::layer_of(const ggml_tensor* operation) const {
  const ggml_tensor* keys = operation->src[1]->view_src;
  const auto found =
      std::find_if(layers_.begin(), layers_.end(), [&](const auto& layer) { return layer.keys == keys; });
  return found == layers_.end() ? nullptr : &*found;
}

const PagedPlan& PagedBatch::plan(const AttentionSize& size, const PagedLayer& layer, int threads) {
  const auto same_kind = [&](const auto& plan) {
    return plan->layer.window == layer.window && plan->layer.stride == layer.stride && plan->threads == threads &&
           plan->size.key_size == size.key_size && plan->size.value_size == size.value_size &&
           plan->size.heads == size.heads && plan->size.kv_heads == size.kv_heads;
  };
  if (const auto found = std::find_if(plans_.begin(), plans_.end(), same_kind); found != plans_.end()) return **found;
  auto made = std::make_unique<PagedPlan>();
  made->runs = runs_;
  made->size = size;
  made->layer = layer;
  made->threads = threads;
  for (std::size_t i = 0; i < runs_.size(); ++i) add_units(*made, static_cast<int>(i), runs_[i]);
  std::stable_sort(made->units.begin(), made->units.end(),
                   [](const auto& a, const auto& b) { return cost(a) > cost(b); });
  divide_blocks(*made);
  return *plans_.emplace_back(std::move(made));
}

void compute_paged(const ggml_compute_params& params, const ggml_tensor& operation, const PagedPlan& plan,
                   const AttentionTable& kernels) {
  auto* work = static_cast<float*>(params.wdata);
  const Tiles tiles(operation, plan, work + plan.scratch_floats * static_cast<std::size_t>(params.ith));
  if (plan.by_block) {
    compute_blocks(params, tiles, plan, kernels, work + plan.scratch_floats * static_cast<std::size_t>(params.nth));
  } else {
    compute_units(params, tiles, plan, kernels);
  }
}

}  // namespace bulkhead::engines::llama::kernels
