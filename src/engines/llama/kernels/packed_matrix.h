// SPDX-License-Identifier: MIT
// A weight matrix in packed form: its size, how it is made and how its rows are read back.
//
// Thread rule: pack() runs threads of its own; everything may be called from any thread on distinct memory.
#pragma once

#include "engines/llama/kernels/packed_layout.h"

#include <cstddef>
#include <cstdint>

namespace bulkhead::engines::llama::kernels {

struct MatrixShape {
  WeightFormat format = WeightFormat::kQ4K;
  std::int64_t rows = 0;
  std::int64_t k = 0;  // values in a row: a multiple of 256 (Q4_K, Q5_K, Q6_K), of 32 (Q8_0, Q5_0, Q4_0), or any

  friend bool operator==(const MatrixShape&, const MatrixShape&) = default;
};

[[nodiscard]] bool valid(const MatrixShape& shape) noexcept;
[[nodiscard]] std::int64_t groups(const MatrixShape& shape) noexcept;
[[nodiscard]] std::int64_t blocks(const MatrixShape& shape) noexcept;  // along k
// Bytes of a row in a GGUF file; of a packed group of 16 rows (a multiple of 64); of the whole packed matrix.
[[nodiscard]] std::size_t row_bytes(const MatrixShape& shape) noexcept;
[[nodiscard]] std::size_t group_bytes(const MatrixShape& shape) noexcept;
[[nodiscard]] std::size_t packed_bytes(const MatrixShape& shape) noexcept;

// Packs rows * row_bytes() at `from` into packed_bytes() at `to`, which begins at a multiple of 64, on up to `threads`
// threads.
void pack(const MatrixShape& shape, const std::uint8_t* from, std::uint8_t* to, int threads);
// The row_bytes() of row `row` as they were in the file, bit for bit.
void unpack_row(const MatrixShape& shape, const std::uint8_t* packed, std::int64_t row, std::uint8_t* to);

}  // namespace bulkhead::engines::llama::kernels
