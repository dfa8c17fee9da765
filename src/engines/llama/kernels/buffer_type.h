// SPDX-License-Identifier: MIT
// The buffer type of packed weights: how libllama comes to hold its matrices in our layout and multiply with our
// kernels.
//
// A buffer of this type runs two operations on the weights in it: MUL_MAT with float activations of any number of
// dimensions, and GET_ROWS, which gives the very floats that ggml's own would. Weights are packed when they are set,
// and can be read back. Where such a product is the gate of a GEGLU, that is computed by our kernels too. A view of
// packed weights has no meaning; an operation on one ends the program.
//
// Made for the ggml that is linked in, whose internal headers it uses.
#pragma once

#include "engines/llama/kernels/matmul_kernels.h"
#include "engines/llama/kernels/packed_file.h"
#include "engines/llama/kernels/packed_matrix.h"

#include <ggml-backend.h>

#include <optional>
#include <string>

namespace bulkhead::engines::llama::kernels {

// The one buffer type there is. It lives as long as the process.
[[nodiscard]] ggml_backend_buffer_type_t packed_buffer_type();

// The kernels that multiply, for all packed weights; never null. Not to be changed while a graph is computed.
void set_active_kernels(const MatmulKernels* kernels) noexcept;

// The shape of a weight tensor that can be packed; else nothing, and in `reason` (if given) why not.
[[nodiscard]] std::optional<MatrixShape> packable(const ggml_tensor& weights, std::string* reason = nullptr);

// What decides whether libllama's loader may put a weight tensor here. It asks by building the operation that the
// tensor is for on an empty buffer of this type; `operation` is that. Null: all that can be.
using Admission = bool (*)(void* context, const ggml_tensor& operation);
// How the thread that sets it loads a model.
struct LoadHooks {
  Admission admit = nullptr;
  void* context = nullptr;
  PackedFile* packed_file = nullptr;  // where packed matrices are read from or kept; null: nowhere
};
// Returns those before.
LoadHooks set_load_hooks(LoadHooks hooks) noexcept;

}  // namespace bulkhead::engines::llama::kernels
