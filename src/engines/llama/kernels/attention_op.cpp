// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/attention_op.h"

#include "engines/llama/kernels/attention.h"
#include "engines/llama/kernels/attention_operation.h"
#include "engines/llama/kernels/attention_plan.h"
#include "engines/llama/kernels/paged_attention.h"

#include <fmt/format.h>
#include <ggml-backend-impl.h>
#include <ggml-backend.h>
#include <ggml-cpu-impl.h>
#include <ggml-cpu.h>
#include <traits.h>

#include <array>
#include <atomic>
#include <cstring>
#include <vector>

namespace bulkhead::engines::llama::kernels {
namespace {

// The operation's last parameter slot, which ggml leaves 0. Before it stands the plan's address where cells are paged.
constexpr int kMarkSlot = GGML_MAX_OP_PARAMS / static_cast<int>(sizeof(std::int32_t)) - 1;
constexpr std::size_t kPlanBytes = sizeof(void*);  // its address
constexpr int kPlanSlot = kMarkSlot - static_cast<int>(kPlanBytes / sizeof(std::int32_t));
constexpr std::int32_t kMark = 0x62756c6b;
constexpr std::int32_t kPagedMark = 0x62756c70;

std::atomic<const AttentionTable*> table{nullptr};
std::atomic<AttentionChoice> process_choice{AttentionChoice::kStock};
thread_local std::uint64_t fell_through = 0;
thread_local std::uint64_t taken = 0;
thread_local AttentionScope* innermost = nullptr;

bool chosen() {
  const auto choice = innermost == nullptr ? process_choice.load() : innermost->choice();
  return choice == AttentionChoice::kBulkhead;
}

// The operation as tiles. One per thread and operation.
class Tiles {
 public:
  Tiles(const ggml_tensor* operation, const AttentionPlan& plan, float* scratch)
      : operation_(operation),
        plan_(plan),
        size_(size_of(operation)),
        slopes_(slopes_of(operation)),
        tile_(common_tile(operation, scratch)) {
    tile_.cells = size_.cells;
    tile_.mask_token = operation->src[3] == nullptr ? 0 : operation->src[3]->nb[1];
  }

  // Later tokens see more cells, so their tiles come first: what is left over at the end is small.
  [[nodiscard]] AttentionTile at(int index, int prefetch) const {
    const int token = (plan_.token_tiles - 1 - index % plan_.token_tiles) * plan_.tile_tokens;
    int rest = index / plan_.token_tiles;
    const int group = size_.heads / size_.kv_heads;
    const int group_head = rest % plan_.head_tiles * plan_.tile_heads;
    rest /= plan_.head_tiles;
    const int kv_head = rest % size_.kv_heads;
    const int stream = rest / size_.kv_heads;

    AttentionTile tile = tile_;
    tile.prefetch = prefetch;
    tile.tokens = std::min(plan_.tile_tokens, size_.tokens - token);
    tile.heads = std::min(plan_.tile_heads, group - group_head);
    const int head = kv_head * group + group_head;
    tile.queries = bytes_of(operation_->src[0]) + at(operation_->src[0], token, head, stream);
    tile.keys = bytes_of(operation_->src[1]) + at(operation_->src[1], 0, kv_head, stream);
    tile.values = bytes_of(operation_->src[2]) + at(operation_->src[2], 0, kv_head, stream);
    tile.out = static_cast<char*>(operation_->data) + at(operation_, head, token, stream);
    const ggml_tensor* mask = operation_->src[3];
    if (mask != nullptr) {
      tile.mask = bytes_of(mask) +
                  at(mask, token, static_cast<int>(head % mask->ne[2]), static_cast<int>(stream % mask->ne[3]));
    }
    tile.slopes = slopes_.data() + head;
    if (operation_->src[4] != nullptr) tile.sinks = static_cast<const float*>(operation_->src[4]->data) + head;
    return tile;
  }

 private:
  static std::size_t at(const ggml_tensor* tensor, int i1, int i2, int i3) {
    return static_cast<std::size_t>(i1) * tensor->nb[1] + static_cast<std::size_t>(i2) * tensor->nb[2] +
           static_cast<std::size_t>(i3) * tensor->nb[3];
  }

  const ggml_tensor* operation_;
  const AttentionPlan& plan_;
  AttentionSize size_;
  std::vector<float> slopes_;
  AttentionTile tile_;
};

AttentionPlan plan_for(const ggml_tensor* operation, int threads) {
  return plan_attention(size_of(operation), threads);
}

// Whole tiles, each on the thread that comes for it first.
void compute_tiles(const ggml_compute_params& params, const Tiles& tiles, const AttentionPlan& plan,
                   const AttentionTable& kernels) {
  if (params.nth > 1) {
    if (params.ith == 0) ggml_threadpool_chunk_set(params.threadpool, params.nth);
    ggml_barrier(params.threadpool);
  }
  for (int i = params.ith; i<plan.tiles; i = params.nth> 1 ? ggml_threadpool_chunk_add(params.threadpool, 1) : i + 1) {
    kernels.attend(tiles.at(i, kBlockCells));
  }
}

// Blocks in turn over the threads, then the rows.
void compute_blocks(const ggml_compute_params& params, const Tiles& tiles, const AttentionPlan& plan,
                    const AttentionTable& kernels, int value_size, float* states) {
  const auto state = static_cast<std::size_t>(state_floats(value_size));
  const auto row_stride = static_cast<std::size_t>(plan.blocks) * state;
  const auto tile_rows = static_cast<std::size_t>(plan.tile_tokens) * static_cast<std::size_t>(plan.tile_heads);
  for (int unit = params.ith; unit < plan.tiles * plan.blocks; unit += params.nth) {
    const int index = unit / plan.blocks;
    const int block = unit % plan.blocks;
    kernels.attend_block(
        tiles.at(index, params.nth * kBlockCells), block,
        states + static_cast<std::size_t>(index) * tile_rows * row_stride + static_cast<std::size_t>(block) * state,
        row_stride);
  }
  ggml_barrier(params.threadpool);
  int turn = 0;
  for (int i = 0; i < plan.tiles; ++i) {
    const AttentionTile tile = tiles.at(i, 0);
    const float* rows = states + static_cast<std::size_t>(i) * tile_rows * row_stride;
    for (int row = 0; row < tile.tokens * tile.heads; ++row) {
      if (turn++ % params.nth == params.ith)
        kernels.merge(tile, row, rows + static_cast<std::size_t>(row) * row_stride, plan.blocks);
    }
  }
}

class AttentionTraits : public ggml::cpu::tensor_traits {
 public:
  // Called once per operation when the graph is planned: here the choice is made and noted.
  bool work_size(int threads, const ggml_tensor* operation, std::size_t& size) override {
    const bool wanted = chosen();
    const bool ours = wanted && attention_supports(operation);
    if (wanted) ++(ours ? taken : fell_through);
    if (wanted && !ours && innermost != nullptr) innermost->note_left(*operation);
    // ggml hands its own graph's node as const; planning is the one moment when no other thread looks at it.
    auto* parameters = const_cast<ggml_tensor*>(operation)->op_params;  // NOLINT(*-const-cast)
    auto* batch = innermost == nullptr ? nullptr : innermost->paged_batch();
    if (const auto* layer = batch == nullptr ? nullptr : batch->layer_of(operation); layer != nullptr) {
      // Nothing else can compute it: its mask says nothing, and its cells are not where the view of them says.
      GGML_ASSERT(ours && "paged cells need our attention");
      const PagedPlan* plan = &batch->plan(size_of(operation), *layer, threads);
      parameters[kMarkSlot] = kPagedMark;
      std::memcpy(&parameters[kPlanSlot], &plan, kPlanBytes);
      size = plan->bytes();
      return true;
    }
    parameters[kMarkSlot] = ours ? kMark : 0;
    if (ours) size = plan_for(operation, threads).bytes(threads);
    return ours;
  }

  bool compute_forward(ggml_compute_params* params, ggml_tensor* operation) override {
    const AttentionTable& kernels = *table.load(std::memory_order_relaxed);
    if (operation->op_params[kMarkSlot] == kPagedMark) {
      const PagedPlan* plan = nullptr;
      std::memcpy(&plan, &operation->op_params[kPlanSlot], kPlanBytes);
      compute_paged(*params, *operation, *plan, kernels);
      return true;
    }
    if (operation->op_params[kMarkSlot] != kMark) return false;
    const AttentionPlan plan = plan_for(operation, params->nth);
    auto* work = static_cast<float*>(params->wdata);
    const Tiles tiles(operation, plan, work + plan.scratch_floats * static_cast<std::size_t>(params->ith));
    if (plan.by_block) {
      float* states = work + plan.scratch_floats * static_cast<std::size_t>(params->nth);
      compute_blocks(*params, tiles, plan, kernels, static_cast<int>(operation->src[2]->ne[0]), states);
    } else {
      compute_tiles(*params, tiles, plan, kernels);
    }
    return true;
  }
};

// A buffer type in name only: it holds no tensor, it is there to be asked.
class AttentionBufferType : public ggml::cpu::extra_buffer_type {
 public:
  bool supports_op(ggml_backend_dev_t /*device*/, const ggml_tensor* /*operation*/) override { return false; }
  ggml::cpu::tensor_traits* get_tensor_traits(const ggml_tensor* operation) override {
    return operation->op == GGML_OP_FLASH_ATTN_EXT ? &traits_ : nullptr;
  }

 private:
  AttentionTraits traits_;
};

ggml_backend_buffer_type_t buffer_type() {
  static AttentionBufferType asked;
  static ggml_backend_buffer_type type = {
      {[](ggml_backend_buffer_type_t) { return "CPU_BULKHEAD_ATTENTION"; },
       [](ggml_backend_buffer_type_t, std::size_t) -> ggml_backend_buffer_t { return nullptr; },
       [](ggml_backend_buffer_type_t) { return std::size_t{64}; }, nullptr, nullptr, nullptr},
      ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0),
      // ggml casts it back to exactly this base.
      static_cast<ggml::cpu::extra_buffer_type*>(&asked)};
  return &type;
}

}  // namespace

void install_attention(InstructionSet set) {
  table.store(&attention_of(set));
  static const bool once = [] {
    auto& types = ggml_backend_cpu_get_extra_buffer_types();
    types.insert(types.begin(), buffer_type());
    process_choice = AttentionChoice::kBulkhead;
    return true;
  }();
  (void)once;
}

void set_attention_choice(AttentionChoice choice) noexcept {
  process_choice = choice;
}

AttentionScope::AttentionScope(AttentionChoice choice) noexcept : choice_(choice), outer_(innermost) {
  innermost = this;
}

AttentionScope::~AttentionScope() {
  innermost = outer_;
}

bool AttentionScope::publish(PagedBatch* batch) noexcept {
  if (innermost == nullptr) return false;
  innermost->paged_batch_ = batch;
  return true;
}

void AttentionScope::note_left(const ggml_tensor& operation) {
  if (!left_to_ggml_.empty()) return;
  const auto size = size_of(&operation);
  left_to_ggml_ = fmt::format("no kernel for {} ({}: keys of {} {} values, values of {} {})", operation.name,
                              ggml_op_name(operation.op), size.key_size, ggml_type_name(operation.src[1]->type),
                              size.value_size, ggml_type_name(operation.src[2]->type));
}

std::uint64_t attention_fell_through() noexcept {
  return fell_through;
}

std::uint64_t attention_taken() noexcept {
  return taken;
}

}  // namespace bulkhead::engines::llama::kernels
