// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/attention_op.h"

#include "engines/llama/kernels/attention.h"
#include "engines/llama/kernels/attention_plan.h"

#include <fmt/format.h>
#include <ggml-backend-impl.h>
#include <ggml-backend.h>
#include <ggml-cpu-impl.h>
#include <ggml-cpu.h>
#include <traits.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

namespace bulkhead::engines::llama::kernels {
namespace {

// The operation's last parameter slot, which ggml leaves 0.
constexpr int kMarkSlot = GGML_MAX_OP_PARAMS / static_cast<int>(sizeof(std::int32_t)) - 1;
constexpr std::int32_t kMark = 0x62756c6b;
constexpr int kMaxHeadSize = 1024;

std::atomic<const AttentionTable*> table{nullptr};
std::atomic<AttentionChoice> process_choice{AttentionChoice::kStock};
thread_local std::uint64_t fell_through = 0;
thread_local std::uint64_t taken = 0;
thread_local AttentionScope* innermost = nullptr;

bool chosen() {
  const auto choice = innermost == nullptr ? process_choice.load() : innermost->choice();
  return choice == AttentionChoice::kBulkhead;
}

std::optional<CellType> cell_type(const ggml_tensor* cells) {
  const std::int64_t size = cells->ne[0];
  if (cells->nb[0] != ggml_type_size(cells->type) || size <= 0 || size > kMaxHeadSize || size % 16 != 0) return {};
  switch (cells->type) {
    case GGML_TYPE_F32: return CellType::kF32;
    case GGML_TYPE_F16: return CellType::kF16;
    case GGML_TYPE_BF16: return CellType::kBF16;
    case GGML_TYPE_Q8_0: return size % 32 == 0 ? std::optional(CellType::kQ8_0) : std::nullopt;
    case GGML_TYPE_Q4_0: return size % 32 == 0 ? std::optional(CellType::kQ4_0) : std::nullopt;
    default: return {};
  }
}

AttentionSize size_of(const ggml_tensor* operation) {
  const ggml_tensor* queries = operation->src[0];
  const ggml_tensor* keys = operation->src[1];
  AttentionSize size;
  size.key_size = static_cast<int>(keys->ne[0]);
  size.value_size = static_cast<int>(operation->src[2]->ne[0]);
  size.tokens = static_cast<int>(queries->ne[1]);
  size.heads = static_cast<int>(queries->ne[2]);
  size.streams = static_cast<int>(queries->ne[3]);
  size.kv_heads = static_cast<int>(keys->ne[2]);
  size.cells = static_cast<int>(keys->ne[1]);
  return size;
}

float parameter(const ggml_tensor* operation, int index) {
  float value = 0;
  std::memcpy(&value, &operation->op_params[index], sizeof(value));
  return value;
}

// ALiBi: how often the mask counts for each head. Heads beyond a power of two take the odd powers of a finer series.
std::vector<float> slopes_of(const ggml_tensor* operation) {
  const auto heads = static_cast<unsigned>(operation->src[0]->ne[2]);
  const float max_bias = parameter(operation, 1);
  std::vector<float> slopes(heads, 1.0F);
  if (max_bias <= 0.0F) return slopes;
  unsigned power = 1;
  while (power * 2 <= heads) power *= 2;
  const float coarse = std::pow(2.0F, -max_bias / static_cast<float>(power));
  const float fine = std::pow(2.0F, -max_bias / 2.0F / static_cast<float>(power));
  for (unsigned h = 0; h < heads; ++h) {
    slopes[h] = h < power ? std::pow(coarse, static_cast<float>(h + 1))
                          : std::pow(fine, static_cast<float>(2 * (h - power) + 1));
  }
  return slopes;
}

const char* bytes_of(const ggml_tensor* tensor) {
  return static_cast<const char*>(tensor->data);
}

// The operation as tiles. One per thread and operation.
class Tiles {
 public:
  Tiles(const ggml_tensor* operation, const AttentionPlan& plan, float* scratch)
      : operation_(operation), plan_(plan), size_(size_of(operation)), slopes_(slopes_of(operation)) {
    tile_.key_size = size_.key_size;
    tile_.value_size = size_.value_size;
    tile_.cells = size_.cells;
    tile_.key_type = *cell_type(operation->src[1]);
    tile_.value_type = *cell_type(operation->src[2]);
    tile_.query_token = operation->src[0]->nb[1];
    tile_.query_head = operation->src[0]->nb[2];
    tile_.key_cell = operation->src[1]->nb[1];
    tile_.value_cell = operation->src[2]->nb[1];
    tile_.mask_token = operation->src[3] == nullptr ? 0 : operation->src[3]->nb[1];
    tile_.out_head = operation->nb[1];
    tile_.out_token = operation->nb[2];
    tile_.scale = parameter(operation, 0);
    tile_.softcap = parameter(operation, 2);
    tile_.scratch = scratch;
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
  AttentionTile tile_{};
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
    const_cast<ggml_tensor*>(operation)->op_params[kMarkSlot] = ours ? kMark : 0;  // NOLINT(*-const-cast)
    if (ours) size = plan_for(operation, threads).bytes(threads);
    return ours;
  }

  bool compute_forward(ggml_compute_params* params, ggml_tensor* operation) override {
    if (operation->op_params[kMarkSlot] != kMark) return false;
    const AttentionPlan plan = plan_for(operation, params->nth);
    auto* work = static_cast<float*>(params->wdata);
    const Tiles tiles(operation, plan, work + plan.scratch_floats * static_cast<std::size_t>(params->ith));
    const AttentionTable& kernels = *table.load(std::memory_order_relaxed);
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

void AttentionScope::note_left(const ggml_tensor& operation) {
  if (!left_to_ggml_.empty()) return;
  const auto size = size_of(&operation);
  left_to_ggml_ = fmt::format("no kernel for {} ({}: keys of {} {} values, values of {} {})", operation.name,
                              ggml_op_name(operation.op), size.key_size, ggml_type_name(operation.src[1]->type),
                              size.value_size, ggml_type_name(operation.src[2]->type));
}

bool attention_supports(const ggml_tensor* operation) noexcept {
  if (operation->op != GGML_OP_FLASH_ATTN_EXT || operation->type != GGML_TYPE_F32) return false;
  const ggml_tensor* queries = operation->src[0];
  const ggml_tensor* keys = operation->src[1];
  const ggml_tensor* values = operation->src[2];
  const ggml_tensor* mask = operation->src[3];
  const ggml_tensor* sinks = operation->src[4];
  if (queries->type != GGML_TYPE_F32 || queries->nb[0] != sizeof(float) || queries->ne[0] != keys->ne[0]) return false;
  if (!cell_type(keys) || !cell_type(values)) return false;
  if (keys->ne[1] != values->ne[1] || keys->ne[2] != values->ne[2] || keys->ne[3] != values->ne[3]) return false;
  if (keys->ne[2] <= 0 || queries->ne[2] % keys->ne[2] != 0 || queries->ne[3] != keys->ne[3]) return false;
  if (mask != nullptr && (mask->type != GGML_TYPE_F16 || mask->nb[0] != sizeof(ggml_fp16_t) ||
                          mask->ne[0] < keys->ne[1] || mask->ne[1] < queries->ne[1])) {
    return false;
  }
  if (sinks != nullptr && (sinks->type != GGML_TYPE_F32 || !ggml_is_contiguous(sinks))) return false;
  return operation->nb[0] == sizeof(float);
}

std::uint64_t attention_fell_through() noexcept {
  return fell_through;
}

std::uint64_t attention_taken() noexcept {
  return taken;
}

}  // namespace bulkhead::engines::llama::kernels
