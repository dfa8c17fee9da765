// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/weight_blocks.h"

#include <array>
#include <cstring>

namespace bulkhead::engines::llama::kernels {
namespace {

using std::uint16_t;
using std::uint32_t;
using std::uint8_t;

struct FormatSize {
  int values;
  std::size_t bytes;
};
// In the order of WeightFormat.
constexpr std::array<FormatSize, kFormats> kSizes = {
    {{256, 144}, {256, 176}, {256, 210}, {32, 34}, {32, 22}, {32, 18}, {1, 2}, {1, 2}, {1, 4}}};

// Q4_K and Q5_K keep eight scales and eight mins of 6 bits in 12 bytes: the first four of each whole, the low bits of
// the others together, their high bits on top of the first ones.
void read_k_scales(const uint8_t* from, WeightBlock& block) {
  for (int i = 0; i < 4; ++i) {
    const unsigned scale = from[i];
    const unsigned min = from[i + 4];
    const unsigned both = from[i + 8];
    block.scales[i] = scale & 63U;
    block.mins[i] = min & 63U;
    block.scales[i + 4] = static_cast<uint8_t>((both & 15U) | scale >> 6U << 4U);
    block.mins[i + 4] = static_cast<uint8_t>(both >> 4U | min >> 6U << 4U);
  }
}

void write_k_scales(const WeightBlock& block, uint8_t* to) {
  for (int i = 0; i < 4; ++i) {
    to[i] = static_cast<uint8_t>(block.scales[i] | (block.scales[i + 4] >> 4U << 6U));
    to[i + 4] = static_cast<uint8_t>(block.mins[i] | (block.mins[i + 4] >> 4U << 6U));
    to[i + 8] = static_cast<uint8_t>((block.scales[i + 4] & 15U) | (block.mins[i + 4] & 15U) << 4U);
  }
}

// Q4_K and Q5_K: byte i of 32 holds the low bits of k = i and k = i + 32 of its 64.
void read_k_nibbles(const uint8_t* from, uint8_t* quants) {
  for (int part = 0; part < 4; ++part) {
    for (int i = 0; i < 32; ++i) {
      quants[64 * part + i] = from[32 * part + i] & 15U;
      quants[64 * part + 32 + i] = from[32 * part + i] >> 4U;
    }
  }
}

void write_k_nibbles(const uint8_t* quants, uint8_t* to) {
  for (int part = 0; part < 4; ++part) {
    for (int i = 0; i < 32; ++i) {
      to[32 * part + i] =
          static_cast<uint8_t>((quants[64 * part + i] & 15U) | (quants[64 * part + 32 + i] & 15U) << 4U);
    }
  }
}

// Q5_K: bit s of byte i is the fifth bit of k = 32 s + i.
void read_k_fifth(const uint8_t* from, uint8_t* quants) {
  for (unsigned s = 0; s < 8; ++s) {
    for (unsigned i = 0; i < 32; ++i) quants[32 * s + i] |= static_cast<uint8_t>((from[i] >> s & 1U) << 4U);
  }
}

void write_k_fifth(const uint8_t* quants, uint8_t* to) {
  std::memset(to, 0, 32);
  for (unsigned s = 0; s < 8; ++s) {
    for (unsigned i = 0; i < 32; ++i) to[i] |= static_cast<uint8_t>((quants[32 * s + i] >> 4U) << s);
  }
}

// Q6_K: within 128 values, byte i of 64 holds the low bits of k = i and k = i + 64; byte i of 32 the high bits of
// k = i, i + 32, i + 64 and i + 96.
void read_q6k(const uint8_t* from, WeightBlock& block) {
  const uint8_t* high = from + 128;
  for (unsigned half = 0; half < 2; ++half) {
    for (unsigned i = 0; i < 64; ++i) {
      const unsigned low = from[64 * half + i];
      const unsigned top = static_cast<unsigned>(high[32 * half + i % 32]) >> (2 * (i / 32));
      block.quants[128 * half + i] = static_cast<uint8_t>((low & 15U) | (top & 3U) << 4U);
      block.quants[128 * half + 64 + i] = static_cast<uint8_t>(low >> 4U | (top >> 4U & 3U) << 4U);
    }
  }
  std::memcpy(block.scales, from + 192, 16);
  std::memcpy(&block.scale, from + 208, 2);
}

void write_q6k(const WeightBlock& block, uint8_t* to) {
  std::memset(to, 0, 192);
  uint8_t* high = to + 128;
  for (unsigned half = 0; half < 2; ++half) {
    for (unsigned i = 0; i < 64; ++i) {
      const unsigned first = block.quants[128 * half + i];
      const unsigned second = block.quants[128 * half + 64 + i];
      to[64 * half + i] = static_cast<uint8_t>((first & 15U) | (second & 15U) << 4U);
      high[32 * half + i % 32] |= static_cast<uint8_t>((first >> 4U | second >> 4U << 4U) << (2 * (i / 32)));
    }
  }
  std::memcpy(to + 192, block.scales, 16);
  std::memcpy(to + 208, &block.scale, 2);
}

// Q4_0 and Q5_0: byte i holds the low bits of k = i and k = i + 16.
void read_nibbles(const uint8_t* from, uint8_t* quants) {
  for (int i = 0; i < 16; ++i) {
    quants[i] = from[i] & 15U;
    quants[16 + i] = from[i] >> 4U;
  }
}

void write_nibbles(const uint8_t* quants, uint8_t* to) {
  for (int i = 0; i < 16; ++i) to[i] = static_cast<uint8_t>((quants[i] & 15U) | (quants[16 + i] & 15U) << 4U);
}

// The four values of a step lie at 4 * row of its vector.
template <class Vector>
auto* lane(Vector* vector, int row) {
  return vector + 4 * row;
}

// 32 values: two steps to a vector, and one bit of each in `fifth` where there is one.
void write_steps(const uint8_t* quants, uint8_t (*to)[64], uint8_t* fifth, int row) {
  uint8_t bits[4] = {};
  for (unsigned s = 0; s < 4; ++s) {
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned first = quants[4 * s + i];
      const unsigned second = quants[4 * s + 16 + i];
      lane(to[s], row)[i] = static_cast<uint8_t>((first & 15U) | (second & 15U) << 4U);
      bits[i] |= static_cast<uint8_t>((first >> 4U) << s | (second >> 4U) << (s + 4));
    }
  }
  if (fifth != nullptr) std::memcpy(lane(fifth, row), bits, 4);
}

void read_steps(const uint8_t (*from)[64], const uint8_t* fifth, int row, uint8_t* quants) {
  for (unsigned s = 0; s < 4; ++s) {
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned both = lane(from[s], row)[i];
      const unsigned bits = fifth != nullptr ? lane(fifth, row)[i] : 0U;
      quants[4 * s + i] = static_cast<uint8_t>((both & 15U) | (bits >> s & 1U) << 4U);
      quants[4 * s + 16 + i] = static_cast<uint8_t>(both >> 4U | (bits >> (s + 4) & 1U) << 4U);
    }
  }
}

// Where min m of four lies in a lane, so that (0, 1) and (2, 3) are each two bytes apart.
constexpr std::array<unsigned, 4> kMinPlace = {0, 2, 1, 3};

template <class Packed>
void write_packed_scales(const WeightBlock& block, Packed& to, int row) {
  to.scale[row] = block.scale;
  to.min_scale[row] = block.min_scale;
  uint8_t high[4] = {};
  for (unsigned part = 0; part < 2; ++part) {
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned scale = block.scales[4 * part + i];
      const unsigned min = block.mins[4 * part + kMinPlace[i]];
      lane(to.low[part], row)[i] = static_cast<uint8_t>((scale & 15U) | (min & 15U) << 4U);
      high[i] |= static_cast<uint8_t>(scale >> 4U << (2 * part) | min >> 4U << (2 * part + 4));
    }
  }
  std::memcpy(lane(to.high, row), high, 4);
}

template <class Packed>
void read_packed_scales(const Packed& from, int row, WeightBlock& block) {
  block.scale = from.scale[row];
  block.min_scale = from.min_scale[row];
  for (unsigned part = 0; part < 2; ++part) {
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned low = lane(from.low[part], row)[i];
      const unsigned high = lane(from.high, row)[i];
      block.scales[4 * part + i] = static_cast<uint8_t>((low & 15U) | (high >> (2 * part) & 3U) << 4U);
      block.mins[4 * part + kMinPlace[i]] = static_cast<uint8_t>(low >> 4U | (high >> (2 * part + 4) & 3U) << 4U);
    }
  }
}

// Where the line of scales for block `index` and its neighbour begins.
std::int64_t q6k_scales(std::int64_t index) {
  return index / 2 * (kQ6KScales + 2 * static_cast<std::int64_t>(sizeof(PackedQ6K)));
}

std::int64_t q6k_block(std::int64_t index) {
  return q6k_scales(index) + kQ6KScales + index % 2 * static_cast<std::int64_t>(sizeof(PackedQ6K));
}

void write_packed_q6k(const WeightBlock& block, uint8_t* group, std::int64_t index, int row) {
  auto& to = *reinterpret_cast<PackedQ6K*>(group + q6k_block(index));
  reinterpret_cast<uint16_t*>(group + q6k_scales(index))[index % 2 * kGroupRows + row] = block.scale;
  for (int s = 0; s < 16; ++s) {
    to.scales[s][row] = static_cast<std::int8_t>(block.scales[s]);
    const uint8_t* q = block.quants + 16 * s;
    for (int i = 0; i < 4; ++i) {
      lane(to.sub[s].high, row)[i] =
          static_cast<uint8_t>(q[i] >> 4U | q[4 + i] >> 4U << 2U | q[8 + i] >> 4U << 4U | q[12 + i] >> 4U << 6U);
      lane(to.sub[s].low[0], row)[i] = static_cast<uint8_t>((q[i] & 15U) | (q[8 + i] & 15U) << 4U);
      lane(to.sub[s].low[1], row)[i] = static_cast<uint8_t>((q[4 + i] & 15U) | (q[12 + i] & 15U) << 4U);
    }
  }
}

void read_packed_q6k(const uint8_t* group, std::int64_t index, int row, WeightBlock& block) {
  const auto& from = *reinterpret_cast<const PackedQ6K*>(group + q6k_block(index));
  block.scale = reinterpret_cast<const uint16_t*>(group + q6k_scales(index))[index % 2 * kGroupRows + row];
  for (int s = 0; s < 16; ++s) {
    block.scales[s] = static_cast<uint8_t>(from.scales[s][row]);
    uint8_t* q = block.quants + 16 * s;
    for (int i = 0; i < 4; ++i) {
      const unsigned high = lane(from.sub[s].high, row)[i];
      const unsigned even = lane(from.sub[s].low[0], row)[i];
      const unsigned odd = lane(from.sub[s].low[1], row)[i];
      q[i] = static_cast<uint8_t>((even & 15U) | (high & 3U) << 4U);
      q[4 + i] = static_cast<uint8_t>((odd & 15U) | (high >> 2U & 3U) << 4U);
      q[8 + i] = static_cast<uint8_t>(even >> 4U | (high >> 4U & 3U) << 4U);
      q[12 + i] = static_cast<uint8_t>(odd >> 4U | high >> 6U << 4U);
    }
  }
}

}  // namespace

int block_values(WeightFormat format) noexcept {
  return kSizes[static_cast<std::size_t>(format)].values;
}

std::size_t block_bytes(WeightFormat format) noexcept {
  return kSizes[static_cast<std::size_t>(format)].bytes;
}

void read_file_block(WeightFormat format, const uint8_t* from, WeightBlock& block) {
  if (format == WeightFormat::kQ6K) {
    read_q6k(from, block);
    return;
  }
  std::memcpy(&block.scale, from, 2);
  switch (format) {
    case WeightFormat::kQ4K:
    case WeightFormat::kQ5K:
      std::memcpy(&block.min_scale, from + 2, 2);
      read_k_scales(from + 4, block);
      read_k_nibbles(from + (format == WeightFormat::kQ4K ? 16 : 48), block.quants);
      if (format == WeightFormat::kQ5K) read_k_fifth(from + 16, block.quants);
      break;
    case WeightFormat::kQ8_0:
      for (int i = 0; i < 32; ++i) block.quants[i] = from[2 + i] ^ 0x80U;
      break;
    case WeightFormat::kQ5_0: {
      uint32_t fifth = 0;
      std::memcpy(&fifth, from + 2, 4);
      read_nibbles(from + 6, block.quants);
      for (unsigned i = 0; i < 32; ++i) block.quants[i] |= static_cast<uint8_t>((fifth >> i & 1U) << 4U);
      break;
    }
    default: read_nibbles(from + 2, block.quants); break;
  }
}

void write_file_block(WeightFormat format, const WeightBlock& block, uint8_t* to) {
  if (format == WeightFormat::kQ6K) {
    write_q6k(block, to);
    return;
  }
  std::memcpy(to, &block.scale, 2);
  switch (format) {
    case WeightFormat::kQ4K:
    case WeightFormat::kQ5K:
      std::memcpy(to + 2, &block.min_scale, 2);
      write_k_scales(block, to + 4);
      write_k_nibbles(block.quants, to + (format == WeightFormat::kQ4K ? 16 : 48));
      if (format == WeightFormat::kQ5K) write_k_fifth(block.quants, to + 16);
      break;
    case WeightFormat::kQ8_0:
      for (int i = 0; i < 32; ++i) to[2 + i] = block.quants[i] ^ 0x80U;
      break;
    case WeightFormat::kQ5_0: {
      uint32_t fifth = 0;
      for (unsigned i = 0; i < 32; ++i) fifth |= (block.quants[i] >> 4U & 1U) << i;
      std::memcpy(to + 2, &fifth, 4);
      write_nibbles(block.quants, to + 6);
      break;
    }
    default: write_nibbles(block.quants, to + 2); break;
  }
}

void write_packed_block(WeightFormat format, const WeightBlock& block, uint8_t* group, std::int64_t index, int row) {
  const auto half = index % 2;
  switch (format) {
    case WeightFormat::kQ4K: {
      auto& to = reinterpret_cast<PackedQ4K*>(group)[index];
      write_packed_scales(block, to, row);
      for (int s = 0; s < 8; ++s) write_steps(block.quants + 32 * s, to.quants[s], nullptr, row);
      break;
    }
    case WeightFormat::kQ5K: {
      auto& to = reinterpret_cast<PackedQ5K*>(group)[index];
      write_packed_scales(block, to, row);
      for (int s = 0; s < 8; ++s) write_steps(block.quants + 32 * s, to.sub[s].quants, to.sub[s].fifth, row);
      break;
    }
    case WeightFormat::kQ6K: write_packed_q6k(block, group, index, row); break;
    case WeightFormat::kQ8_0: {
      auto& to = reinterpret_cast<PackedQ8_0*>(group)[index / 2];
      to.scale[half][row] = block.scale;
      for (int s = 0; s < 8; ++s) std::memcpy(lane(to.quants[half][s], row), block.quants + 4 * s, 4);
      break;
    }
    case WeightFormat::kQ5_0: {
      auto& to = reinterpret_cast<PackedQ5_0*>(group)[index / 2];
      to.scale[half][row] = block.scale;
      write_steps(block.quants, to.half[half].quants, to.half[half].fifth, row);
      break;
    }
    default: {
      auto& to = reinterpret_cast<PackedQ4_0*>(group)[index / 2];
      to.scale[half][row] = block.scale;
      write_steps(block.quants, to.quants[half], nullptr, row);
      break;
    }
  }
}

void read_packed_block(WeightFormat format, const uint8_t* group, std::int64_t index, int row, WeightBlock& block) {
  const auto half = index % 2;
  switch (format) {
    case WeightFormat::kQ4K: {
      const auto& from = reinterpret_cast<const PackedQ4K*>(group)[index];
      read_packed_scales(from, row, block);
      for (int s = 0; s < 8; ++s) read_steps(from.quants[s], nullptr, row, block.quants + 32 * s);
      break;
    }
    case WeightFormat::kQ5K: {
      const auto& from = reinterpret_cast<const PackedQ5K*>(group)[index];
      read_packed_scales(from, row, block);
      for (int s = 0; s < 8; ++s) read_steps(from.sub[s].quants, from.sub[s].fifth, row, block.quants + 32 * s);
      break;
    }
    case WeightFormat::kQ6K: read_packed_q6k(group, index, row, block); break;
    case WeightFormat::kQ8_0: {
      const auto& from = reinterpret_cast<const PackedQ8_0*>(group)[index / 2];
      block.scale = from.scale[half][row];
      for (int s = 0; s < 8; ++s) std::memcpy(block.quants + 4 * s, lane(from.quants[half][s], row), 4);
      break;
    }
    case WeightFormat::kQ5_0: {
      const auto& from = reinterpret_cast<const PackedQ5_0*>(group)[index / 2];
      block.scale = from.scale[half][row];
      read_steps(from.half[half].quants, from.half[half].fifth, row, block.quants);
      break;
    }
    default: {
      const auto& from = reinterpret_cast<const PackedQ4_0*>(group)[index / 2];
      block.scale = from.scale[half][row];
      read_steps(from.quants[half], nullptr, row, block.quants);
      break;
    }
  }
}

}  // namespace bulkhead::engines::llama::kernels
