// SPDX-License-Identifier: MIT
// What a flash-attention operation of ggml says of its sizes, types and strides, in the words of attention_table.h.
#pragma once

#include "engines/llama/kernels/attention_plan.h"
#include "engines/llama/kernels/attention_table.h"

#include <ggml.h>

#include <optional>
#include <vector>

namespace bulkhead::engines::llama::kernels {

// Whether our kernels compute this operation: queries F32; keys and values each F32, F16, BF16, Q8_0 or Q4_0; heads of
// a multiple of 16 elements (of 32 if quantized) up to 1024; mask F16 or none; any scale, ALiBi slope, soft cap and
// sinks.
[[nodiscard]] bool attention_supports(const ggml_tensor* operation) noexcept;

[[nodiscard]] std::optional<CellType> cell_type(const ggml_tensor* cells);
[[nodiscard]] AttentionSize size_of(const ggml_tensor* operation);
// ALiBi: how often the mask counts for each head. [n_heads]
[[nodiscard]] std::vector<float> slopes_of(const ggml_tensor* operation);
// What all tiles of an operation have in common; the operation must be supported. `scratch` is one thread's.
[[nodiscard]] AttentionTile common_tile(const ggml_tensor* operation, float* scratch);

inline const char* bytes_of(const ggml_tensor* tensor) {
  return static_cast<const char*>(tensor->data);
}

}  // namespace bulkhead::engines::llama::kernels
