// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/packed_matrix.h"

#include "engines/llama/kernels/parallel_for.h"
#include "engines/llama/kernels/weight_blocks.h"

#include <algorithm>
#include <cstring>

namespace bulkhead::engines::llama::kernels {
namespace {

constexpr std::size_t kVector = 64;
constexpr std::int64_t kGroupsAtATime = 8;

std::size_t whole_vectors(std::size_t bytes) {
  return (bytes + kVector - 1) / kVector * kVector;
}

bool is_float(WeightFormat format) {
  return block_values(format) == 1;
}

// Floats: [k][16]. The transposition goes by pieces of rows that stay in the cache.
void pack_floats(const MatrixShape& shape, const std::uint8_t* from, int rows, std::uint8_t* to) {
  const auto bytes = block_bytes(shape.format);
  constexpr std::int64_t kPiece = 256;
  for (std::int64_t begin = 0; begin < shape.k; begin += kPiece) {
    const auto end = std::min(shape.k, begin + kPiece);
    for (int row = 0; row < rows; ++row) {
      const auto* x = from + static_cast<std::size_t>(row) * row_bytes(shape);
      for (auto k = begin; k < end; ++k) {
        const auto place = static_cast<std::size_t>(kGroupRows * k + row);
        std::memcpy(to + place * bytes, x + static_cast<std::size_t>(k) * bytes, bytes);
      }
    }
  }
}

void pack_group(const MatrixShape& shape, const std::uint8_t* from, int rows, std::uint8_t* to) {
  if (is_float(shape.format)) {
    if (rows < kGroupRows) std::memset(to, 0, group_bytes(shape));
    pack_floats(shape, from, rows, to);
    return;
  }
  // Rows that are not there and the half of a pair that is not there are zeros.
  if (rows < kGroupRows || blocks(shape) % 2 != 0) std::memset(to, 0, group_bytes(shape));
  WeightBlock block;
  for (int row = 0; row < rows; ++row) {
    for (std::int64_t b = 0; b < blocks(shape); ++b, from += block_bytes(shape.format)) {
      read_file_block(shape.format, from, block);
      write_packed_block(shape.format, block, to, b, row);
    }
  }
}

}  // namespace

bool valid(const MatrixShape& shape) noexcept {
  return shape.rows > 0 && shape.k > 0 && shape.k % block_values(shape.format) == 0;
}

std::int64_t groups(const MatrixShape& shape) noexcept {
  return (shape.rows + kGroupRows - 1) / kGroupRows;
}

std::int64_t blocks(const MatrixShape& shape) noexcept {
  return shape.k / block_values(shape.format);
}

std::size_t row_bytes(const MatrixShape& shape) noexcept {
  return static_cast<std::size_t>(blocks(shape)) * block_bytes(shape.format);
}

std::size_t group_bytes(const MatrixShape& shape) noexcept {
  const bool pairs = block_values(shape.format) == 32;
  const auto stored = static_cast<std::size_t>(pairs ? (blocks(shape) + 1) / 2 * 2 : blocks(shape));
  return whole_vectors(stored * block_bytes(shape.format) * kGroupRows);
}

std::size_t packed_bytes(const MatrixShape& shape) noexcept {
  return static_cast<std::size_t>(groups(shape)) * group_bytes(shape);
}

void pack(const MatrixShape& shape, const std::uint8_t* from, std::uint8_t* to, int threads) {
  const auto all = groups(shape);
  parallel_for((all + kGroupsAtATime - 1) / kGroupsAtATime, threads, [&](std::int64_t piece) {
    const auto begin = piece * kGroupsAtATime;
    for (auto group = begin; group < std::min(all, begin + kGroupsAtATime); ++group) {
      const auto first = group * kGroupRows;
      const auto rows = static_cast<int>(std::min<std::int64_t>(kGroupRows, shape.rows - first));
      pack_group(shape, from + static_cast<std::size_t>(first) * row_bytes(shape), rows,
                 to + static_cast<std::size_t>(group) * group_bytes(shape));
    }
  });
}

void unpack_row(const MatrixShape& shape, const std::uint8_t* packed, std::int64_t row, std::uint8_t* to) {
  const auto* group = packed + static_cast<std::size_t>(row / kGroupRows) * group_bytes(shape);
  const auto in_group = static_cast<int>(row % kGroupRows);
  const auto bytes = block_bytes(shape.format);
  WeightBlock block;
  for (std::int64_t b = 0; b < blocks(shape); ++b, to += bytes) {
    if (is_float(shape.format)) {
      std::memcpy(to, group + static_cast<std::size_t>(kGroupRows * b + in_group) * bytes, bytes);
    } else {
      read_packed_block(shape.format, group, b, in_group, block);
      write_file_block(shape.format, block, to);
    }
  }
}

}  // namespace bulkhead::engines::llama::kernels
