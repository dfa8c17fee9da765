// SPDX-License-Identifier: MIT
// Whole-number dot products of one block: 16 rows of bytes with N columns.
#pragma once

#include "engines/llama/kernels/simd_int.h"

#if defined(BULKHEAD_KERNELS_SCALAR)
#define BULKHEAD_UNROLL  // lanes are loops there: unrolled they take a minute to compile
#elif defined(__clang__)
#define BULKHEAD_UNROLL _Pragma("unroll")
#else
#define BULKHEAD_UNROLL _Pragma("GCC unroll 16")
#endif

namespace bulkhead::engines::llama::kernels {
namespace {

#if (defined(BULKHEAD_KERNELS_AVX2) && !defined(BULKHEAD_KERNELS_AVXVNNI)) || \
    (defined(BULKHEAD_KERNELS_NEON) && !defined(BULKHEAD_KERNELS_I8MM))
// Bytes above 127 are read as value - 128 by the dot product itself.
constexpr bool kSignedOffset = true;
#else
constexpr bool kSignedOffset = false;
#endif

#if defined(BULKHEAD_KERNELS_AVX2) && !defined(BULKHEAD_KERNELS_AVXVNNI)

// Products of bytes are added in pairs to 16 bits, which hold `kPairs` such sums: 2 * 127 * most each.
template <int kMost>
constexpr int kPairs = kMost > 127 ? 1 : 32767 / (2 * 127 * kMost);

template <int kMost>
BULKHEAD_INLINE __m256i pair_sums(__m256i w, __m256i x) {
  if constexpr (kMost <= 127) return _mm256_maddubs_epi16(w, x);
  // |w - 128| is at most 128, so that 2 * 128 * 127 still fits; the sign goes to the other factor.
  const __m256i value = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80)));
  return _mm256_maddubs_epi16(_mm256_abs_epi8(value), _mm256_sign_epi8(x, value));
}

// sums[j] = start(j) + the dot products of `kSteps` vectors of weights, weights(s), with the 4 * kSteps values of
// column j at x + j * stride. No byte of weights is above kMost; if kMost is 255, see kSignedOffset.
template <size_t N, int kSteps, int kMost, class Weights, class Start>
BULKHEAD_INLINE void dots(I32x16 (&sums)[N], const int8_t* x, size_t stride, const Weights& weights,
                          const Start& start) {
  constexpr int kFlush = kPairs<kMost> < kSteps ? kPairs<kMost> : kSteps;
  const __m256i ones = _mm256_set1_epi16(1);
  I32x16 pairs[N];
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) sums[j] = start(j);
  BULKHEAD_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    const U8x64 w = weights(s);
    BULKHEAD_UNROLL
    for (size_t j = 0; j < N; ++j) {
      const __m256i four = four_of(x + j * stride + 4 * s);
      const __m256i lo = pair_sums<kMost>(w.lo, four);
      const __m256i hi = pair_sums<kMost>(w.hi, four);
      if (s % kFlush == 0) {
        pairs[j] = {lo, hi};
      } else {
        pairs[j] = {_mm256_add_epi16(pairs[j].lo, lo), _mm256_add_epi16(pairs[j].hi, hi)};
      }
      if (s % kFlush != kFlush - 1 && s != kSteps - 1) continue;
      sums[j] = {_mm256_add_epi32(sums[j].lo, _mm256_madd_epi16(pairs[j].lo, ones)),
                 _mm256_add_epi32(sums[j].hi, _mm256_madd_epi16(pairs[j].hi, ones))};
    }
  }
}

#else

// With few columns each has several sums, so that one dot product need not wait for the one before. They are whole
// numbers: the order does not matter.
template <size_t N>
#if defined(BULKHEAD_KERNELS_AVX512)
constexpr size_t kChains = N == 1   ? 4
                           : N <= 4 ? 2
                                    : 1;
#elif defined(BULKHEAD_KERNELS_AVX2)
constexpr size_t kChains = N == 1   ? 4
                           : N == 2 ? 2
                                    : 1;
#else
constexpr size_t kChains = 1;
#endif

template <int kMost>
BULKHEAD_INLINE I32x16 dot4_up_to(I32x16 sum, U8x64 w, const int8_t* x) {
#if defined(BULKHEAD_KERNELS_NEON) && !defined(BULKHEAD_KERNELS_I8MM)
  if constexpr (kMost > 127) return dot4_less_128(sum, w, x);
#endif
  return dot4(sum, w, x);
}

// sums[j] = start(j) + the dot products of `kSteps` vectors of weights, weights(s), with the 4 * kSteps values of
// column j at x + j * stride. No byte of weights is above kMost; if kMost is 255, see kSignedOffset.
template <size_t N, int kSteps, int kMost, class Weights, class Start>
BULKHEAD_INLINE void dots(I32x16 (&sums)[N], const int8_t* x, size_t stride, const Weights& weights,
                          const Start& start) {
  constexpr size_t kEach = kChains<N>;
  I32x16 chain[N * kEach];
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) {
    chain[j * kEach] = start(j);
    BULKHEAD_UNROLL
    for (size_t i = 1; i < kEach; ++i) chain[j * kEach + i] = broadcast_i32(0);
  }
  BULKHEAD_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    const U8x64 w = weights(s);
    BULKHEAD_UNROLL
    for (size_t j = 0; j < N; ++j) {
      I32x16& sum = chain[j * kEach + static_cast<size_t>(s) % kEach];
      sum = dot4_up_to<kMost>(sum, w, x + j * stride + 4 * s);
    }
  }
  BULKHEAD_UNROLL
  for (size_t j = 0; j < N; ++j) {
    sums[j] = chain[j * kEach];
    BULKHEAD_UNROLL
    for (size_t i = 1; i < kEach; ++i) sums[j] = add_i32(sums[j], chain[j * kEach + i]);
  }
}

#endif

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
