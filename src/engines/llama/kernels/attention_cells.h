// SPDX-License-Identifier: MIT
// Reading keys and values of the cache: sixteen elements of a cell as floats, or a whole block turned into floats.
#pragma once

#include "engines/llama/kernels/attention_table.h"
#include "engines/llama/kernels/simd.h"

namespace bulkhead::engines::llama::kernels {
namespace {

// load(cell, d): elements d to d + 15 of the cell. prefetch(cell, d): asks for them; the cell need not exist. Floats
// are converted blocks, which lie in the cache, so that they ask for nothing.
struct CellF32 {
  BULKHEAD_INLINE void prefetch(const char* /*cell*/, size_t /*d*/) {}
  BULKHEAD_INLINE F32x16 load(const char* cell, size_t d) {
    return kernels::load(reinterpret_cast<const float*>(cell) + d);
  }
};
struct CellF16 {
  BULKHEAD_INLINE void prefetch(const char* cell, size_t d) { __builtin_prefetch(cell + d * sizeof(uint16_t), 0, 2); }
  BULKHEAD_INLINE F32x16 load(const char* cell, size_t d) {
    return load_f16(reinterpret_cast<const uint16_t*>(cell) + d);
  }
};
struct CellBF16 {
  BULKHEAD_INLINE void prefetch(const char* cell, size_t d) { __builtin_prefetch(cell + d * sizeof(uint16_t), 0, 2); }
  BULKHEAD_INLINE F32x16 load(const char* cell, size_t d) {
    return load_bf16(reinterpret_cast<const uint16_t*>(cell) + d);
  }
};

BULKHEAD_INLINE bool is_quantized(CellType type) {
  return type == CellType::kQ8_0 || type == CellType::kQ4_0;
}

// ggml's block of 32 elements: the scale as a half, then 32 signed bytes, or 16 bytes with element i in the lower half
// of byte i and element i + 16 in the upper one, plus 8.
constexpr int kQuantBlock = 32;

BULKHEAD_INLINE F32x16 scale_of(const char* block) {
  uint16_t halves[kLanes];
  memcpy(halves, block, sizeof(uint16_t));
  for (int i = 1; i < kLanes; ++i) halves[i] = halves[0];
  return load_f16(halves);
}

BULKHEAD_INLINE void dequantize_q8_0(const char* cell, int size, float* to) {
  for (int d = 0; d < size; d += kQuantBlock, cell += sizeof(uint16_t) + kQuantBlock) {
    const F32x16 scale = scale_of(cell);
    const int8_t* elements = reinterpret_cast<const int8_t*>(cell) + sizeof(uint16_t);
    store(to + d, mul(load_i8(elements), scale));
    store(to + d + kLanes, mul(load_i8(elements + kLanes), scale));
  }
}

BULKHEAD_INLINE void dequantize_q4_0(const char* cell, int size, float* to) {
  for (int d = 0; d < size; d += kQuantBlock, cell += sizeof(uint16_t) + kQuantBlock / 2) {
    const F32x16 scale = scale_of(cell);
    const uint8_t* nibbles = reinterpret_cast<const uint8_t*>(cell) + sizeof(uint16_t);
    int8_t elements[kQuantBlock];
    for (int i = 0; i < kLanes; ++i) {
      elements[i] = static_cast<int8_t>((nibbles[i] & 15) - 8);
      elements[i + kLanes] = static_cast<int8_t>((nibbles[i] >> 4) - 8);
    }
    store(to + d, mul(load_i8(elements), scale));
    store(to + d + kLanes, mul(load_i8(elements + kLanes), scale));
  }
}

template <typename Cell>
BULKHEAD_INLINE void widen(const char* cell, int size, float* to) {
  for (size_t d = 0; d < static_cast<size_t>(size); d += kLanes) store(to + d, Cell::load(cell, d));
}

BULKHEAD_INLINE void convert_cell(CellType type, const char* cell, int size, float* to) {
  switch (type) {
    case CellType::kF32: widen<CellF32>(cell, size, to); break;
    case CellType::kF16: widen<CellF16>(cell, size, to); break;
    case CellType::kBF16: widen<CellBF16>(cell, size, to); break;
    case CellType::kQ8_0: dequantize_q8_0(cell, size, to); break;
    case CellType::kQ4_0: dequantize_q4_0(cell, size, to); break;
  }
}

// The cells of one block as rows of 16 * n elements of a type that can be loaded.
struct BlockCells {
  const char* first;
  size_t stride;    // bytes
  CellType type;    // never a quantized one
  int count;        // cells of the block that are there
  ptrdiff_t ahead;  // bytes to the same cell of the block that this thread reads next
};

BULKHEAD_INLINE int cell_bytes(CellType type, int size) {
  switch (type) {
    case CellType::kF32: return size * 4;
    case CellType::kQ8_0: return size / kQuantBlock * (2 + kQuantBlock);
    case CellType::kQ4_0: return size / kQuantBlock * (2 + kQuantBlock / 2);
    default: return size * 2;
  }
}

// The block as it lies, or converted to `scratch` [count][size] where that pays: always for quantized cells, and when
// many rows read it. Conversion is exact, so the choice moves no bit.
static BlockCells open_block(const char* first, size_t stride, CellType type, int size, int count, ptrdiff_t ahead,
                             bool convert, float* scratch) {
  if (!is_quantized(type) && (!convert || type == CellType::kF32)) return {first, stride, type, count, ahead};
  const int bytes = cell_bytes(type, size);
  for (int c = 0; c < count; ++c) {
    const char* cell = first + static_cast<size_t>(c) * stride;
    for (int line = 0; line < bytes; line += 64) __builtin_prefetch(cell + ahead + line, 0, 2);
    convert_cell(type, cell, size, scratch + c * size);
  }
  return {reinterpret_cast<const char*>(scratch), static_cast<size_t>(size) * sizeof(float), CellType::kF32, count, 0};
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
