// SPDX-License-Identifier: MIT
// Columns of activations as the products want them (matmul_kernels.h: PrepareColumn).
#pragma once

#include "engines/llama/kernels/packed_layout.h"
#include "engines/llama/kernels/simd_int.h"
#include "engines/llama/kernels/simd_sums.h"

namespace bulkhead::engines::llama::kernels {
namespace {

constexpr int32_t kMagnitudeBits = 0x7fffffff;
constexpr int32_t kInfinityBits = 0x7f800000;
constexpr float kSmallestLargest = 0x1p-119F;  // below it, largest / 127 would not be a normal number

BULKHEAD_INLINE float float_from_bits(int32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

struct BlockScale {
  float scale;    // of the whole numbers; NaN if a value is not finite
  float inverse;  // 0 where all whole numbers are to be 0
};

// Magnitudes compare as their bits do, so one maximum finds the largest and what is not finite.
template <int kValues>
BULKHEAD_INLINE BlockScale block_scale(const float* x) {
  const I32x16 mask = broadcast_i32(kMagnitudeBits);
  I32x16 most = broadcast_i32(0);
  for (int i = 0; i < kValues; i += kLanes) most = max_i32(most, and_i32(load_bits(x + i), mask));
  const int32_t bits = largest_i32(most);
  if (bits >= kInfinityBits) return {float_from_bits(0x7fc00000), 0.0F};
  const float largest = float_from_bits(bits);
  if (!(largest >= kSmallestLargest)) return {0.0F, 0.0F};
  return {largest / 127.0F, 127.0F / largest};
}

// Sixteen whole numbers, also to `to`.
BULKHEAD_INLINE I32x16 quantize16(const float* x, F32x16 inverse, int8_t* to) {
  const I32x16 whole = round_to_i32(mul(load(x), inverse));
  store_i8(to, whole);
  return whole;
}

BULKHEAD_INLINE void quantize256(const float* x, Activations256& out) {
  const BlockScale block = block_scale<256>(x);
  out.scale = block.scale;
  if (block.inverse == 0.0F) {  // infinity times zero would be no number
    const float scale = out.scale;
    memset(&out, 0, sizeof(out));
    out.scale = scale;
    return;
  }
  const F32x16 inverse = broadcast(block.inverse);
  F32x16 whole[16];
  for (int i = 0; i < 16; ++i) whole[i] = to_float(quantize16(x + 16 * i, inverse, out.values + 16 * i));
  // Floats that hold small whole numbers: their sums are exact in any order.
  const I32x16 minus32 = round_to_i32(mul(sums_of_lanes(whole), broadcast(-32.0F)));
  memcpy(out.minus32_sum, &minus32, sizeof(minus32));
  for (int i = 0; i < 8; ++i) {
    out.sum32[i] = static_cast<int16_t>((out.minus32_sum[2 * i] + out.minus32_sum[2 * i + 1]) / -32);
  }
}

BULKHEAD_INLINE void quantize32(const float* x, int32_t offset, Activations32& out) {
  const BlockScale block = block_scale<32>(x);
  out.scale = block.scale;
  if (block.inverse == 0.0F) {
    memset(out.values, 0, sizeof(out.values));
    out.minus_offset_sum = 0;
    return;
  }
  const F32x16 inverse = broadcast(block.inverse);
  const I32x16 first = quantize16(x, inverse, out.values);
  const I32x16 second = quantize16(x + 16, inverse, out.values + 16);
  out.minus_offset_sum = -offset * sum_i32(add_i32(first, second));
}

void prepare_256(const float* x, int64_t first, int64_t last, uint8_t* out, size_t stride) {
  for (int64_t b = first; b < last; ++b) {
    quantize256(x + 256 * b, *reinterpret_cast<Activations256*>(out + static_cast<size_t>(b) * stride));
  }
}

template <int kOffset>
void prepare_32(const float* x, int64_t first, int64_t last, uint8_t* out, size_t stride) {
  for (int64_t b = first; b < last; ++b) {
    quantize32(x + 32 * b, kOffset, *reinterpret_cast<Activations32*>(out + static_cast<size_t>(b) * stride));
  }
}

// Infinity becomes NaN, so that a weight of either sign gives NaN.
void prepare_float(const float* x, int64_t first, int64_t last, uint8_t* out, size_t stride) {
  for (int64_t k = first; k < last; ++k) {
    int32_t bits;
    memcpy(&bits, x + k, sizeof(bits));
    if ((bits & kMagnitudeBits) >= kInfinityBits) bits = 0x7fc00000;
    memcpy(out + static_cast<size_t>(k) * stride, &bits, sizeof(bits));
  }
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
