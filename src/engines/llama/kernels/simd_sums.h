// SPDX-License-Identifier: MIT
// Sixteen reductions at once: lane i of the result has the very bits of sum_of_lanes(a[i]), for a few shuffles each.
#pragma once

#include "engines/llama/kernels/simd.h"

namespace bulkhead::engines::llama::kernels {
namespace {

#if defined(BULKHEAD_KERNELS_AVX512)

// Lanes i + i + 8 of x (lower half of the result) and of y (upper half).
BULKHEAD_INLINE __m512 fold_halves(__m512 x, __m512 y) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xee));
}
// One quarter, four partial sums, of each of the four inputs of x and y.
BULKHEAD_INLINE __m512 fold_quarters(__m512 x, __m512 y) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
}
BULKHEAD_INLINE __m512 fold_pairs(__m512 x, __m512 y) {
  const __m512d a = _mm512_castps_pd(x);
  const __m512d b = _mm512_castps_pd(y);
  return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
}
BULKHEAD_INLINE F32x16 sums_of_lanes(const F32x16* a) {
  __m512 quarters[4];
  // Input 4 * lane + e goes to lane `lane` of quarters[e], so that the last two steps leave the sums in order.
  for (int e = 0; e < 4; ++e) {
    quarters[e] = fold_quarters(fold_halves(a[e].v, a[4 + e].v), fold_halves(a[8 + e].v, a[12 + e].v));
  }
  const __m512 x = fold_pairs(quarters[0], quarters[1]);
  const __m512 y = fold_pairs(quarters[2], quarters[3]);
  return {_mm512_add_ps(_mm512_shuffle_ps(x, y, 0x88), _mm512_shuffle_ps(x, y, 0xdd))};
}

#elif defined(BULKHEAD_KERNELS_AVX2)

BULKHEAD_INLINE __m256 fold_quarters(F32x16 x, F32x16 y) {
  const __m256 a = _mm256_add_ps(x.lo, x.hi);
  const __m256 b = _mm256_add_ps(y.lo, y.hi);
  return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}
BULKHEAD_INLINE __m256 fold_pairs(__m256 x, __m256 y) {
  const __m256d a = _mm256_castps_pd(x);
  const __m256d b = _mm256_castps_pd(y);
  return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
}
BULKHEAD_INLINE __m256 eight_sums(const F32x16* a) {
  const __m256 x = fold_pairs(fold_quarters(a[0], a[4]), fold_quarters(a[1], a[5]));
  const __m256 y = fold_pairs(fold_quarters(a[2], a[6]), fold_quarters(a[3], a[7]));
  return _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x88), _mm256_shuffle_ps(x, y, 0xdd));
}
BULKHEAD_INLINE F32x16 sums_of_lanes(const F32x16* a) {
  return {eight_sums(a), eight_sums(a + 8)};
}

#elif defined(BULKHEAD_KERNELS_NEON)

BULKHEAD_INLINE float32x4_t fold_quarters(F32x16 a) {
  return vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
}
BULKHEAD_INLINE float32x4_t fold_pairs(float32x4_t x, float32x4_t y) {
  return vaddq_f32(vcombine_f32(vget_low_f32(x), vget_low_f32(y)), vcombine_f32(vget_high_f32(x), vget_high_f32(y)));
}
BULKHEAD_INLINE F32x16 sums_of_lanes(const F32x16* a) {
  F32x16 r;
  for (int i = 0; i < 4; ++i) {
    const float32x4_t x = fold_pairs(fold_quarters(a[4 * i]), fold_quarters(a[4 * i + 1]));
    const float32x4_t y = fold_pairs(fold_quarters(a[4 * i + 2]), fold_quarters(a[4 * i + 3]));
    r.v[i] = vaddq_f32(vuzp1q_f32(x, y), vuzp2q_f32(x, y));
  }
  return r;
}

#else

BULKHEAD_INLINE F32x16 sums_of_lanes(const F32x16* a) {
  F32x16 r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = sum_of_lanes(a[i]);
  return r;
}

#endif

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
