// SPDX-License-Identifier: MIT
// One block of one row of quantized weights, taken apart: what the file's layout and the packed one have in common.
#pragma once

#include "engines/llama/kernels/packed_layout.h"

#include <cstddef>
#include <cstdint>

namespace bulkhead::engines::llama::kernels {

struct WeightBlock {
  std::uint16_t scale = 0;       // bits of a half float
  std::uint16_t min_scale = 0;   // Q4_K and Q5_K
  std::uint8_t scales[16] = {};  // of sub-blocks: 8 of 6 bits (Q4_K, Q5_K) or 16 signed (Q6_K)
  std::uint8_t mins[8] = {};
  std::uint8_t quants[256] = {};  // in order of k, unsigned, the format's offset not yet taken away
};

// Values in a block, and its bytes in a GGUF file. Floats count as blocks of one.
[[nodiscard]] int block_values(WeightFormat format) noexcept;
[[nodiscard]] std::size_t block_bytes(WeightFormat format) noexcept;

// From and to the layout of GGUF files; quantized formats only. Every bit is kept.
void read_file_block(WeightFormat format, const std::uint8_t* from, WeightBlock& block);
void write_file_block(WeightFormat format, const WeightBlock& block, std::uint8_t* to);

// From and to row `row` (0 to 15) and block `index` of a packed group.
void read_packed_block(WeightFormat format, const std::uint8_t* group, std::int64_t index, int row, WeightBlock& block);
void write_packed_block(WeightFormat format, const WeightBlock& block, std::uint8_t* group, std::int64_t index,
                        int row);

}  // namespace bulkhead::engines::llama::kernels
