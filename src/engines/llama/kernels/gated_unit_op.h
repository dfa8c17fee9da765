// SPDX-License-Identifier: MIT
// Our gated activations in the place of ggml's GLU, where the gate is a product of packed weights: so a model's layers
// are ours or ggml's as a whole, and nothing has to be chosen. What is computed: gated_unit_table.h.
#pragma once

#include "engines/llama/kernels/instruction_set.h"

struct ggml_tensor;

namespace ggml::cpu {
class tensor_traits;
}

namespace bulkhead::engines::llama::kernels {

// For graphs that begin afterwards. Not to be called while a graph is computed.
void set_gated_units(InstructionSet set) noexcept;

// Whether our kernels can compute this operation, whoever made its gate: GEGLU of two float tensors.
[[nodiscard]] bool gated_unit_supports(const ggml_tensor* operation) noexcept;

// Computes what gated_unit_supports(). Lives as long as the process.
[[nodiscard]] ggml::cpu::tensor_traits* gated_unit_traits() noexcept;

}  // namespace bulkhead::engines::llama::kernels
