// SPDX-License-Identifier: MIT
// The inner loops of a matrix product, as one table of functions per instruction set.
//
// Contract of all tables:
//   - The same bits as the scalar table. Whole-number sums are exact; the float part is the same chain of
//   multiplications
//     and fused multiply-adds per row and column, each rounded once.
//   - Batch invariance. An output depends on its own row of weights and its own column only: not on how many columns
//     there are, where the column stands, or how the work is cut.
//   - A column in which any value is NaN or infinite gives NaN in all of its outputs, and nothing else changes. A block
//     whose largest magnitude is below 2^-119 counts as zero (its scale would not be a normal number). So quantization
//     does not depend on the processor's flush-to-zero modes.
//   - Nothing outside of the given ranges is read or written. Prefetches may name addresses beyond; they cannot fault.
//
// Thread rule: the functions keep no state.
#pragma once

#include "engines/llama/kernels/packed_layout.h"

#include <stddef.h>  // NOLINT(modernize-deprecated-headers): see simd.h

namespace bulkhead::engines::llama::kernels {

constexpr int kMostColumns = 12;
// Passes of so many columns wait for memory; they fetch into the first-level cache and not as far ahead.
constexpr size_t kFewColumns = 2;

// One group of 16 rows against 1 to kMostColumns columns.
struct GroupProduct {
  const uint8_t* weights = nullptr;      // a packed group; 64-byte aligned
  const uint8_t* activations = nullptr;  // blocks of all columns, [blocks][columns]
  int64_t blocks = 0;                    // activation blocks along k
  float* out = nullptr;                  // of the group's first row and the first column
  int64_t out_stride = 0;                // floats from one column to the next
  int rows = kGroupRows;                 // rows to store, 1 to 16
  // Weights that will be needed later: the address that lies as far ahead as `weights` does here, or null.
  const char* ahead = nullptr;
  unsigned ahead_share = 0xff;  // which eighths of the lines ahead to fetch, one bit each
};

// Prepares blocks [first, last) of one column: block b is written to out + b * stride (bytes). x is the whole column.
using PrepareColumn = void (*)(const float* x, int64_t first, int64_t last, uint8_t* out, size_t stride);
using MultiplyGroup = void (*)(const GroupProduct& product);

struct FormatKernels {
  int columns;  // most columns in one pass here
  PrepareColumn prepare;
  MultiplyGroup multiply[kMostColumns];  // [columns - 1]; null beyond `columns`
};
struct MatmulKernels {
  FormatKernels of[kFormats];  // [WeightFormat]
};

extern const MatmulKernels kMatmulScalar;
#if defined(BULKHEAD_KERNELS_X86)
extern const MatmulKernels kMatmulAvx2;
extern const MatmulKernels kMatmulAvxVnni;
extern const MatmulKernels kMatmulAvx512;
#elif defined(BULKHEAD_KERNELS_ARM)
extern const MatmulKernels kMatmulNeon;
extern const MatmulKernels kMatmulI8mm;
#endif

}  // namespace bulkhead::engines::llama::kernels
