// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/attention_operation.h"

#include <cmath>
#include <cstdint>
#include <cstring>

namespace bulkhead::engines::llama::kernels {
namespace {

constexpr int kMaxHeadSize = 1024;

float parameter(const ggml_tensor* operation, int index) {
  float value = 0;
  std::memcpy(&value, &operation->op_params[index], sizeof(value));
  return value;
}

}  // namespace

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

// Heads beyond a power of two take the odd powers of a finer series.
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

AttentionTile common_tile(const ggml_tensor* operation, float* scratch) {
  AttentionTile tile{};
  tile.key_size = static_cast<int>(operation->src[1]->ne[0]);
  tile.value_size = static_cast<int>(operation->src[2]->ne[0]);
  tile.key_type = *cell_type(operation->src[1]);
  tile.value_type = *cell_type(operation->src[2]);
  tile.query_token = operation->src[0]->nb[1];
  tile.query_head = operation->src[0]->nb[2];
  tile.key_cell = operation->src[1]->nb[1];
  tile.value_cell = operation->src[2]->nb[1];
  tile.out_head = operation->nb[1];
  tile.out_token = operation->nb[2];
  tile.scale = parameter(operation, 0);
  tile.softcap = parameter(operation, 2);
  tile.scratch = scratch;
  return tile;
}

}  // namespace bulkhead::engines::llama::kernels
