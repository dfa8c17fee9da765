// SPDX-License-Identifier: MIT
// The products themselves (matmul_kernels.h: MultiplyGroup), one template per family of formats.
//
// Every sum of floats below has one order, whatever N is. That is the batch invariance.
#pragma once

#include "engines/llama/kernels/dots.h"
#include "engines/llama/kernels/matmul_kernels.h"

namespace bulkhead::engines::llama::kernels {
namespace {

constexpr int kLine = 64;  // bytes of a cache line

// Fetches the `kBytes` that lie at `ahead`, if this share of the pass is to.
template <size_t N, int kBytes>
BULKHEAD_INLINE void fetch_ahead(const GroupProduct& product, const char* ahead, unsigned share) {
  if ((product.ahead_share >> share & 1U) == 0) return;
  BULKHEAD_UNROLL
  for (int i = 0; i < kBytes; i += kLine) prefetch<N <= kFewColumns>(ahead + i);
}

template <size_t N>
BULKHEAD_INLINE void store_columns(const GroupProduct& product, const F32x16 (&sums)[N]) {
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) {
    float* to = product.out + static_cast<int64_t>(j) * product.out_stride;
    if (product.rows == kGroupRows) {
      store(to, sums[j]);
    } else {
      float all[kLanes];
      store(all, sums[j]);
      memcpy(to, all, static_cast<size_t>(product.rows) * sizeof(float));
    }
  }
}

// scales[s] = scale * sub-block scale s of each row; mins[j] = -(min scale) * (mins . sums of column j).
template <size_t N, class Block>
BULKHEAD_INLINE void unpack_scales(const Block& w, const Activations256* x, float (&scales)[8][kLanes],
                                   F32x16 (&mins)[N]) {
  const U8x64 low4 = broadcast_byte(0x0f);
  const U8x64 high2 = broadcast_byte(0x30);
  const U8x64 low0 = load_bytes(w.low[0]);
  const U8x64 low1 = load_bytes(w.low[1]);
  const U8x64 high = load_bytes(w.high);
  const U8x64 scale_bytes[2] = {or_masked(and_bytes(low0, low4), shift_left(high, 4), high2),
                                or_masked(and_bytes(low1, low4), shift_left(high, 2), high2)};
  const U8x64 min_bytes[2] = {or_masked(and_bytes(shift_right(low0, 4), low4), high, high2),
                              or_masked(and_bytes(shift_right(low1, 4), low4), shift_right(high, 2), high2)};
  const F32x16 scale = load_f16(w.scale);
  BULKHEAD_UNROLL
  for (int s = 0; s < 8; ++s) {
    store(scales[s], mul(scale, to_float(byte_of_lane(scale_bytes[s / 4], static_cast<unsigned>(s % 4)))));
  }
  const F32x16 min_scale = sub(broadcast(0.0F), load_f16(w.min_scale));
  // Every other byte is 16 bits wide enough for dot2.
  alignas(64) static constexpr uint8_t kEven[64] = {255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0,
                                                    255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0,
                                                    255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0,
                                                    255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0};
  const U8x64 even = load_bytes(kEven);
  const U8x64 pairs[4] = {and_bytes(min_bytes[0], even), and_bytes(shift_right(min_bytes[0], 8), even),
                          and_bytes(min_bytes[1], even), and_bytes(shift_right(min_bytes[1], 8), even)};
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) {
    I32x16 sum = broadcast_i32(0);
    BULKHEAD_UNROLL
    for (int i = 0; i < 4; ++i) sum = dot2(sum, pairs[i], x[j].sum32 + 2 * i);
    mins[j] = mul(to_float(sum), min_scale);
  }
}

// Step s of 32 values of 4 bits.
struct FourBits {
  const uint8_t (*quants)[64];
  BULKHEAD_INLINE U8x64 at(const FourBits& from, int s) {
    const U8x64 low4 = broadcast_byte(0x0f);
    const U8x64 both = load_bytes(from.quants[s % 4]);
    return and_bytes(s < 4 ? both : shift_right(both, 4), low4);
  }
};
// The same with a fifth bit.
struct FiveBits {
  const uint8_t* fifth;
  const uint8_t (*quants)[64];
  BULKHEAD_INLINE U8x64 at(const FiveBits& from, int s) {
    const U8x64 bits = load_bytes(from.fifth);
    const U8x64 fifth =
        s <= 4 ? shift_left(bits, static_cast<unsigned>(4 - s)) : shift_right(bits, static_cast<unsigned>(s - 4));
    return or_masked(FourBits::at({from.quants}, s), fifth, broadcast_byte(0x10));
  }
};

BULKHEAD_INLINE FourBits sub_block(const PackedQ4K& w, int s) {
  return {w.quants[s]};
}
BULKHEAD_INLINE FiveBits sub_block(const PackedQ5K& w, int s) {
  return {w.sub[s].fifth, w.sub[s].quants};
}

template <class Block, int kMost, size_t N>
void multiply_k45(const GroupProduct& product) {
  const auto* w = reinterpret_cast<const Block*>(product.weights);
  const auto* x = reinterpret_cast<const Activations256*>(product.activations);
  const char* ahead = product.ahead;
  F32x16 sums[N];
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) sums[j] = broadcast(0.0F);
  for (int64_t b = 0; b < product.blocks; ++b, ++w, x += N) {
    alignas(64) float scales[8][kLanes];
    F32x16 block[N];
    unpack_scales<N>(*w, x, scales, block);
    for (int s = 0; s < 8; ++s) {
      constexpr int kShare = static_cast<int>(sizeof(Block)) / 8;
      fetch_ahead<N, kShare>(product, ahead, static_cast<unsigned>(s));
      ahead += kShare;
      const auto bits = sub_block(*w, s);
      I32x16 dot[N];
      dots<N, 8, kMost>(
          dot, x->values + 32 * s, sizeof(*x), [&](int step) { return bits.at(bits, step); },
          [](size_t) { return broadcast_i32(0); });
      const F32x16 scale = load(scales[s]);
      BULKHEAD_UNROLL
      for (size_t j = 0; j < N; ++j) block[j] = fma(to_float(dot[j]), scale, block[j]);
    }
    BULKHEAD_UNROLL
    for (size_t j = 0; j < N; ++j) sums[j] = fma(block[j], broadcast(x[j].scale), sums[j]);
  }
  store_columns<N>(product, sums);
}

template <size_t N>
void multiply_q4k(const GroupProduct& product) {
  multiply_k45<PackedQ4K, 15, N>(product);
}
template <size_t N>
void multiply_q5k(const GroupProduct& product) {
  multiply_k45<PackedQ5K, 31, N>(product);
}

template <size_t N>
void multiply_q6k(const GroupProduct& product) {
  const uint8_t* place = product.weights;
  const uint16_t* block_scales = nullptr;
  const auto* x = reinterpret_cast<const Activations256*>(product.activations);
  const char* ahead = product.ahead;
  const U8x64 low4 = broadcast_byte(0x0f);
  const U8x64 high2 = broadcast_byte(0x30);
  F32x16 sums[N];
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) sums[j] = broadcast(0.0F);
  for (int64_t b = 0; b < product.blocks; ++b, x += N) {
    if (b % 2 == 0) {
      block_scales = reinterpret_cast<const uint16_t*>(place);
      place += kQ6KScales;
    }
    const auto* w = reinterpret_cast<const PackedQ6K*>(place);
    place += sizeof(*w);
    const F32x16 scale = load_f16(block_scales + b % 2 * kGroupRows);
    F32x16 block[N];
    BULKHEAD_UNROLL
    for (size_t j = 0; j < N; ++j) block[j] = broadcast(0.0F);
    for (int s = 0; s < 16; ++s) {
      if (s % 2 == 0) {
        constexpr int kShare = static_cast<int>(sizeof(PackedQ6K)) / 8;
        fetch_ahead<N, kShare>(product, ahead, static_cast<unsigned>(s / 2));
        ahead += kShare;
      }
      const U8x64 high = load_bytes(w->sub[s].high);
      const U8x64 low0 = load_bytes(w->sub[s].low[0]);
      const U8x64 low1 = load_bytes(w->sub[s].low[1]);
      const U8x64 steps[4] = {or_masked(and_bytes(low0, low4), shift_left(high, 4), high2),
                              or_masked(and_bytes(low1, low4), shift_left(high, 2), high2),
                              or_masked(and_bytes(shift_right(low0, 4), low4), high, high2),
                              or_masked(and_bytes(shift_right(low1, 4), low4), shift_right(high, 2), high2)};
      I32x16 dot[N];
      dots<N, 4, 63>(
          dot, x->values + 16 * s, sizeof(*x), [&](int step) { return steps[step]; },
          [&](size_t j) { return broadcast_i32(x[j].minus32_sum[s]); });
      const F32x16 sub_scale = mul(scale, load_i8(w->scales[s]));
      BULKHEAD_UNROLL
      for (size_t j = 0; j < N; ++j) block[j] = fma(to_float(dot[j]), sub_scale, block[j]);
    }
    BULKHEAD_UNROLL
    for (size_t j = 0; j < N; ++j) sums[j] = fma(block[j], broadcast(x[j].scale), sums[j]);
  }
  store_columns<N>(product, sums);
}

struct EightBits {
  const uint8_t (*quants)[64];
  BULKHEAD_INLINE U8x64 at(const EightBits& from, int s) { return load_bytes(from.quants[s]); }
};
BULKHEAD_INLINE EightBits half_of(const PackedQ8_0& w, int half) {
  return {w.quants[half]};
}
BULKHEAD_INLINE FiveBits half_of(const PackedQ5_0& w, int half) {
  return {w.half[half].fifth, w.half[half].quants};
}
BULKHEAD_INLINE FourBits half_of(const PackedQ4_0& w, int half) {
  return {w.quants[half]};
}

template <class Pair, int kMost, size_t N>
void multiply_32(const GroupProduct& product) {
  const auto* w = reinterpret_cast<const Pair*>(product.weights);
  const auto* x = reinterpret_cast<const Activations32*>(product.activations);
  const char* ahead = product.ahead;
  F32x16 sums[N];
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) sums[j] = broadcast(0.0F);
  for (int64_t b = 0; b < product.blocks; ++b, x += N) {
    const int half = static_cast<int>(b % 2);
    constexpr int kShare = static_cast<int>(sizeof(Pair)) / 2;
    fetch_ahead<N, kShare>(product, ahead, static_cast<unsigned>(b % 8));
    ahead += kShare;
    const auto bits = half_of(*w, half);
    I32x16 dot[N];
    dots<N, 8, kMost>(
        dot, x->values, sizeof(*x), [&](int step) { return bits.at(bits, step); },
        [&](size_t j) { return broadcast_i32(kMost > 127 && kSignedOffset ? 0 : x[j].minus_offset_sum); });
    const F32x16 scale = load_f16(w->scale[half]);
    BULKHEAD_UNROLL
    for (size_t j = 0; j < N; ++j) {
      sums[j] = fma(mul(to_float(dot[j]), broadcast(x[j].scale)), scale, sums[j]);
    }
    w += half;
  }
  store_columns<N>(product, sums);
}

template <size_t N>
void multiply_q8_0(const GroupProduct& product) {
  multiply_32<PackedQ8_0, 255, N>(product);
}
template <size_t N>
void multiply_q5_0(const GroupProduct& product) {
  multiply_32<PackedQ5_0, 31, N>(product);
}
template <size_t N>
void multiply_q4_0(const GroupProduct& product) {
  multiply_32<PackedQ4_0, 15, N>(product);
}

struct Half {
  using Type = uint16_t;
  BULKHEAD_INLINE F32x16 at(const uint16_t* from) { return load_f16(from); }
};
struct Brain {
  using Type = uint16_t;
  BULKHEAD_INLINE F32x16 at(const uint16_t* from) { return load_bf16(from); }
};
struct Single {
  using Type = float;
  BULKHEAD_INLINE F32x16 at(const float* from) { return load(from); }
};

// Adds the products of `steps` values of k to `total`: four sums by k % 4, so that one column need not wait for each
// multiply-add before the next, then added pairwise.
template <class Weight, size_t N>
BULKHEAD_INLINE void add_run(const GroupProduct& product, const typename Weight::Type* w, const float* x, int64_t steps,
                             const char* ahead, F32x16 (&total)[N]) {
  constexpr size_t kSums = 4;
  constexpr int kShare = static_cast<int>(kSums) * kGroupRows * static_cast<int>(sizeof(typename Weight::Type));
  F32x16 sums[kSums][N];
  BULKHEAD_UNROLL
  for (size_t i = 0; i < kSums * N; ++i) sums[i / N][i % N] = broadcast(0.0F);
  int64_t k = 0;
  for (; k + 4 <= steps; k += 4, ahead += kShare) {
    fetch_ahead<N, kShare>(product, ahead, static_cast<unsigned>(k / 4 % 8));
    BULKHEAD_UNROLL
    for (size_t i = 0; i < kSums; ++i, w += kGroupRows, x += N) {
      const F32x16 weight = Weight::at(w);
      BULKHEAD_UNROLL
      for (size_t j = 0; j < N; ++j) sums[i][j] = fma(weight, broadcast(x[j]), sums[i][j]);
    }
  }
  for (size_t i = 0; k < steps; ++k, ++i, w += kGroupRows, x += N) {
    const F32x16 weight = Weight::at(w);
    BULKHEAD_UNROLL
    for (size_t j = 0; j < N; ++j) sums[i][j] = fma(weight, broadcast(x[j]), sums[i][j]);
  }
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) {
    total[j] = add(total[j], add(add(sums[0][j], sums[1][j]), add(sums[2][j], sums[3][j])));
  }
}

// Runs of a fixed length are summed apart: long chains of additions would lose more than ggml's many short ones.
template <class Weight, size_t N>
void multiply_float(const GroupProduct& product) {
  constexpr int64_t kRun = 64;
  const auto* w = reinterpret_cast<const typename Weight::Type*>(product.weights);
  const auto* x = reinterpret_cast<const float*>(product.activations);
  F32x16 total[N];
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) total[j] = broadcast(0.0F);
  for (int64_t k = 0; k < product.blocks; k += kRun) {
    const int64_t steps = product.blocks - k < kRun ? product.blocks - k : kRun;
    const char* ahead = product.ahead + static_cast<size_t>(k) * kGroupRows * sizeof(*w);
    add_run<Weight, N>(product, w + k * kGroupRows, x + k * static_cast<int64_t>(N), steps, ahead, total);
  }
  store_columns<N>(product, total);
}

template <size_t N>
void multiply_f16(const GroupProduct& product) {
  multiply_float<Half, N>(product);
}
template <size_t N>
void multiply_bf16(const GroupProduct& product) {
  multiply_float<Brain, N>(product);
}
template <size_t N>
void multiply_f32(const GroupProduct& product) {
  multiply_float<Single, N>(product);
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
