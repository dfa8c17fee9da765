// SPDX-License-Identifier: MIT
// The product of a packed weight matrix with columns of float activations, on one or more threads.
//
// Contract: see matmul_kernels.h. Neither the number of threads nor which of them does what changes a bit.
#pragma once

#include "engines/llama/kernels/instruction_set.h"
#include "engines/llama/kernels/matmul_kernels.h"
#include "engines/llama/kernels/packed_matrix.h"

#include <cstddef>
#include <cstdint>

namespace bulkhead::engines::llama::kernels {

// The kernels of an instruction set; null when this program has none for it.
[[nodiscard]] const MatmulKernels* matmul_kernels(InstructionSet set) noexcept;

// Columns of `k` floats that lie one after another; the columns themselves lie anywhere in up to three dimensions.
struct Columns {
  const std::uint8_t* data = nullptr;
  std::int64_t count[3] = {1, 1, 1};  // columns along each dimension, the first one fastest
  std::size_t stride[3] = {0, 0, 0};  // bytes

  [[nodiscard]] std::int64_t size() const { return count[0] * count[1] * count[2]; }
};

// The threads that make one product together. Each calls multiply() with its own index and the same everything else.
struct Team {
  int index = 0;
  int size = 1;
  void* pool = nullptr;  // handed to the functions below, which are not called when size is 1
  void (*barrier)(void* pool) = nullptr;
  void (*set_next)(void* pool, int next) = nullptr;  // before a barrier, by one thread
  int (*take_next)(void* pool) = nullptr;            // the next piece of work, after it
};

// Bytes of work area that multiply() wants for these sizes. It aligns the area itself. `columns` may be 0: a graph
// whose outputs nobody reads asks for that.
[[nodiscard]] std::size_t work_bytes(const MatmulKernels& kernels, const MatrixShape& shape, std::int64_t columns,
                                     int threads) noexcept;

// out[column][row] = weights[row] . x[column]; columns without gaps. `weights` is what pack() made of `shape`.
void multiply(const MatmulKernels& kernels, const MatrixShape& shape, const std::uint8_t* weights, const Columns& x,
              float* out, std::uint8_t* work, const Team& team);

}  // namespace bulkhead::engines::llama::kernels
