// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/gated_unit_op.h"

#include "engines/llama/kernels/gated_unit.h"

#include <ggml-backend-impl.h>
#include <ggml-cpu-impl.h>
#include <ggml-cpu.h>
#include <traits.h>

#include <algorithm>
#include <atomic>

namespace bulkhead::engines::llama::kernels {
namespace {

// A thread's piece of a row begins at a multiple of this: a line, so that two threads never write to the same one.
constexpr std::int64_t kPiece = 16;

std::atomic<const GatedUnitTable*> table{&kGatedUnitScalar};

bool is_rows_of_floats(const ggml_tensor* tensor) {
  return tensor != nullptr && tensor->type == GGML_TYPE_F32 && tensor->nb[0] == sizeof(float);
}

std::size_t row_offset(const ggml_tensor* tensor, std::int64_t row) {
  const auto first = row % tensor->ne[1];
  const auto second = row / tensor->ne[1] % tensor->ne[2];
  const auto third = row / tensor->ne[1] / tensor->ne[2];
  return static_cast<std::size_t>(first) * tensor->nb[1] + static_cast<std::size_t>(second) * tensor->nb[2] +
         static_cast<std::size_t>(third) * tensor->nb[3];
}

class GatedUnitTraits : public ggml::cpu::tensor_traits {
 public:
  bool work_size(int /*threads*/, const ggml_tensor* /*operation*/, std::size_t& size) override {
    size = 0;
    return true;
  }

  // Each thread takes its piece of every row: one column is shared as well as many.
  bool compute_forward(ggml_compute_params* params, ggml_tensor* operation) override {
    const auto& kernels = *table.load(std::memory_order_relaxed);
    const auto* gate = operation->src[0];
    const auto* up = operation->src[1];
    const auto pieces = (operation->ne[0] + kPiece - 1) / kPiece;
    const auto begin = pieces * params->ith / params->nth * kPiece;
    const auto end = std::min(operation->ne[0], pieces * (params->ith + 1) / params->nth * kPiece);
    if (begin >= end) return true;
    const auto bytes = static_cast<std::size_t>(begin) * sizeof(float);
    for (std::int64_t row = 0; row < ggml_nrows(operation); ++row) {
      const auto at = [&](const ggml_tensor* tensor) {
        return reinterpret_cast<float*>(static_cast<char*>(tensor->data) + row_offset(tensor, row) + bytes);
      };
      kernels.geglu(at(gate), at(up), at(operation), static_cast<std::size_t>(end - begin));
    }
    return true;
  }
};

}  // namespace

void set_gated_units(InstructionSet set) noexcept {
  table.store(&gated_units_of(set), std::memory_order_relaxed);
}

bool gated_unit_supports(const ggml_tensor* operation) noexcept {
  return operation->op == GGML_OP_GLU && ggml_get_glu_op(operation) == GGML_GLU_OP_GEGLU &&
         is_rows_of_floats(operation) && is_rows_of_floats(operation->src[0]) && is_rows_of_floats(operation->src[1]) &&
         ggml_are_same_shape(operation->src[0], operation) && ggml_are_same_shape(operation->src[1], operation);
}

ggml::cpu::tensor_traits* gated_unit_traits() noexcept {
  static GatedUnitTraits traits;
  return &traits;
}

}  // namespace bulkhead::engines::llama::kernels
