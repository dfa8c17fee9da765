// SPDX-License-Identifier: MIT
// Sixteen lanes of float, the same on every instruction set: the vocabulary the kernels are written in.
//
// Contract: every operation gives the same bits on every instruction set, the scalar one included. Each lane rounds
// once per operation (fma is one rounding); reductions add in one fixed tree. So a kernel written with these is
// bit-equal everywhere, and the scalar build is the reference of all others.
//
// How to use: a translation unit defines exactly one of BULKHEAD_KERNELS_AVX512, _AVX2, _NEON or _SCALAR and is
// compiled with the flags of that instruction set. All is `static inline` in a namespace of its own, so that the linker
// can never take one unit's code for another's; for the same reason such units include no header of the C++ library
// that has inline functions.
#pragma once

#include <stddef.h>  // NOLINT(modernize-deprecated-headers): the C++ header brings inline functions
#include <stdint.h>  // NOLINT(modernize-deprecated-headers)
#include <string.h>  // NOLINT(modernize-deprecated-headers)

#if defined(BULKHEAD_KERNELS_AVX512) || defined(BULKHEAD_KERNELS_AVX2)
#include <immintrin.h>
#elif defined(BULKHEAD_KERNELS_NEON)
#include <arm_neon.h>
#elif defined(BULKHEAD_KERNELS_SCALAR)
#include <math.h>  // NOLINT(modernize-deprecated-headers)
#else
#error "define the instruction set first"
#endif

#define BULKHEAD_INLINE static inline __attribute__((always_inline))

namespace bulkhead::engines::llama::kernels {
namespace {

constexpr int kLanes = 16;

#if defined(BULKHEAD_KERNELS_AVX512)

struct F32x16 {
  __m512 v;
};

BULKHEAD_INLINE F32x16 broadcast(float x) {
  return {_mm512_set1_ps(x)};
}
BULKHEAD_INLINE F32x16 load(const float* from) {
  return {_mm512_loadu_ps(from)};
}
BULKHEAD_INLINE void store(float* to, F32x16 a) {
  _mm512_storeu_ps(to, a.v);
}
BULKHEAD_INLINE F32x16 load_f16(const uint16_t* from) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)))};
}
BULKHEAD_INLINE F32x16 load_bf16(const uint16_t* from) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
BULKHEAD_INLINE F32x16 load_i8(const int8_t* from) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))))};
}
BULKHEAD_INLINE F32x16 add(F32x16 a, F32x16 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
BULKHEAD_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
BULKHEAD_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
// a * b + c, rounded once.
BULKHEAD_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
// a > b ? a : b, so a NaN in either gives b.
BULKHEAD_INLINE F32x16 max(F32x16 a, F32x16 b) {
  return {_mm512_max_ps(a.v, b.v)};
}
// a < b ? a : b
BULKHEAD_INLINE F32x16 min(F32x16 a, F32x16 b) {
  return {_mm512_min_ps(a.v, b.v)};
}
// Nearest integer, halves to even.
BULKHEAD_INLINE F32x16 round_even(F32x16 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a * 2^n for whole n in [-126, 127].
BULKHEAD_INLINE F32x16 scale_by_power(F32x16 a, F32x16 n) {
  const __m512i exponent = _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127)), 23);
  return {_mm512_mul_ps(a.v, _mm512_castsi512_ps(exponent))};
}
// Per lane: a < b ? yes : no. A NaN compares false.
BULKHEAD_INLINE F32x16 where_less(F32x16 a, F32x16 b, F32x16 yes, F32x16 no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}

#elif defined(BULKHEAD_KERNELS_AVX2)

struct F32x16 {
  __m256 lo, hi;
};

BULKHEAD_INLINE F32x16 broadcast(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
BULKHEAD_INLINE F32x16 load(const float* from) {
  return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
}
BULKHEAD_INLINE void store(float* to, F32x16 a) {
  _mm256_storeu_ps(to, a.lo);
  _mm256_storeu_ps(to + 8, a.hi);
}
BULKHEAD_INLINE F32x16 load_f16(const uint16_t* from) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 8)))};
}
BULKHEAD_INLINE F32x16 load_bf16(const uint16_t* from) {
  const __m256i lo = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  const __m256i hi = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 8)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
}
BULKHEAD_INLINE F32x16 load_i8(const int8_t* from) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
BULKHEAD_INLINE F32x16 add(F32x16 a, F32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
BULKHEAD_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
BULKHEAD_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
BULKHEAD_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
BULKHEAD_INLINE F32x16 max(F32x16 a, F32x16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
BULKHEAD_INLINE F32x16 min(F32x16 a, F32x16 b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
BULKHEAD_INLINE F32x16 round_even(F32x16 a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, kMode), _mm256_round_ps(a.hi, kMode)};
}
BULKHEAD_INLINE __m256 scale_half(__m256 a, __m256 n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(a, _mm256_castsi256_ps(exponent));
}
BULKHEAD_INLINE F32x16 scale_by_power(F32x16 a, F32x16 n) {
  return {scale_half(a.lo, n.lo), scale_half(a.hi, n.hi)};
}
BULKHEAD_INLINE F32x16 where_less(F32x16 a, F32x16 b, F32x16 yes, F32x16 no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}

#elif defined(BULKHEAD_KERNELS_NEON)

struct F32x16 {
  float32x4_t v[4];
};

#define BULKHEAD_QUARTERS(expression)                \
  F32x16 r;                                          \
  for (int i = 0; i < 4; ++i) r.v[i] = (expression); \
  return r

BULKHEAD_INLINE F32x16 broadcast(float x) {
  BULKHEAD_QUARTERS(vdupq_n_f32(x));
}
BULKHEAD_INLINE F32x16 load(const float* from) {
  BULKHEAD_QUARTERS(vld1q_f32(from + 4 * i));
}
BULKHEAD_INLINE void store(float* to, F32x16 a) {
  for (int i = 0; i < 4; ++i) vst1q_f32(to + 4 * i, a.v[i]);
}
BULKHEAD_INLINE F32x16 load_f16(const uint16_t* from) {
  BULKHEAD_QUARTERS(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + 4 * i))));
}
BULKHEAD_INLINE F32x16 load_bf16(const uint16_t* from) {
  BULKHEAD_QUARTERS(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(from + 4 * i), 16)));
}
BULKHEAD_INLINE F32x16 load_i8(const int8_t* from) {
  const int8x16_t bytes = vld1q_s8(from);
  const int16x8_t lo = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t hi = vmovl_s8(vget_high_s8(bytes));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(lo))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(lo))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(hi))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(hi)))}};
}
BULKHEAD_INLINE F32x16 add(F32x16 a, F32x16 b) {
  BULKHEAD_QUARTERS(vaddq_f32(a.v[i], b.v[i]));
}
BULKHEAD_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  BULKHEAD_QUARTERS(vsubq_f32(a.v[i], b.v[i]));
}
BULKHEAD_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  BULKHEAD_QUARTERS(vmulq_f32(a.v[i], b.v[i]));
}
BULKHEAD_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  BULKHEAD_QUARTERS(vfmaq_f32(c.v[i], a.v[i], b.v[i]));
}
BULKHEAD_INLINE F32x16 max(F32x16 a, F32x16 b) {
  BULKHEAD_QUARTERS(vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]));
}
BULKHEAD_INLINE F32x16 min(F32x16 a, F32x16 b) {
  BULKHEAD_QUARTERS(vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]));
}
BULKHEAD_INLINE F32x16 round_even(F32x16 a) {
  BULKHEAD_QUARTERS(vrndnq_f32(a.v[i]));
}
BULKHEAD_INLINE F32x16 scale_by_power(F32x16 a, F32x16 n) {
  BULKHEAD_QUARTERS(
      vmulq_f32(a.v[i], vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n.v[i]), vdupq_n_s32(127)), 23))));
}
BULKHEAD_INLINE F32x16 where_less(F32x16 a, F32x16 b, F32x16 yes, F32x16 no) {
  BULKHEAD_QUARTERS(vbslq_f32(vcltq_f32(a.v[i], b.v[i]), yes.v[i], no.v[i]));
}
#undef BULKHEAD_QUARTERS

#else  // scalar

struct F32x16 {
  float v[kLanes];
};

#define BULKHEAD_EACH(expression)                         \
  F32x16 r;                                               \
  for (int i = 0; i < kLanes; ++i) r.v[i] = (expression); \
  return r

BULKHEAD_INLINE float float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}
// IEEE half to float; subnormal, infinite and NaN halves included.
BULKHEAD_INLINE float float_of_half(uint16_t half) {
  const uint32_t sign = (half & 0x8000U) << 16U;
  const uint32_t exponent = (half >> 10U) & 31U;
  const uint32_t mantissa = half & 0x3ffU;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  // The processor's conversion makes a NaN quiet.
  if (exponent == 31) return float_of_bits(sign | 0x7f800000U | (mantissa << 13U) | (mantissa != 0 ? 0x400000U : 0U));
  return float_of_bits(sign | ((exponent + 112U) << 23U) | (mantissa << 13U));
}

BULKHEAD_INLINE F32x16 broadcast(float x) {
  BULKHEAD_EACH(x);
}
BULKHEAD_INLINE F32x16 load(const float* from) {
  BULKHEAD_EACH(from[i]);
}
BULKHEAD_INLINE void store(float* to, F32x16 a) {
  for (int i = 0; i < kLanes; ++i) to[i] = a.v[i];
}
BULKHEAD_INLINE F32x16 load_f16(const uint16_t* from) {
  BULKHEAD_EACH(float_of_half(from[i]));
}
BULKHEAD_INLINE F32x16 load_bf16(const uint16_t* from) {
  BULKHEAD_EACH(float_of_bits(static_cast<uint32_t>(from[i]) << 16U));
}
BULKHEAD_INLINE F32x16 load_i8(const int8_t* from) {
  BULKHEAD_EACH(static_cast<float>(from[i]));
}
BULKHEAD_INLINE F32x16 add(F32x16 a, F32x16 b) {
  BULKHEAD_EACH(a.v[i] + b.v[i]);
}
BULKHEAD_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  BULKHEAD_EACH(a.v[i] - b.v[i]);
}
BULKHEAD_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  BULKHEAD_EACH(a.v[i] * b.v[i]);
}
BULKHEAD_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  BULKHEAD_EACH(__builtin_fmaf(a.v[i], b.v[i], c.v[i]));
}
BULKHEAD_INLINE F32x16 max(F32x16 a, F32x16 b) {
  BULKHEAD_EACH(a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}
BULKHEAD_INLINE F32x16 min(F32x16 a, F32x16 b) {
  BULKHEAD_EACH(a.v[i] < b.v[i] ? a.v[i] : b.v[i]);
}
BULKHEAD_INLINE F32x16 round_even(F32x16 a) {
  BULKHEAD_EACH(nearbyintf(a.v[i]));
}
BULKHEAD_INLINE F32x16 scale_by_power(F32x16 a, F32x16 n) {
  BULKHEAD_EACH(a.v[i] * float_of_bits(static_cast<uint32_t>(static_cast<int32_t>(n.v[i]) + 127) << 23U));
}
BULKHEAD_INLINE F32x16 where_less(F32x16 a, F32x16 b, F32x16 yes, F32x16 no) {
  BULKHEAD_EACH(a.v[i] < b.v[i] ? yes.v[i] : no.v[i]);
}
#undef BULKHEAD_EACH

#endif

// Halves the width four times: lane i + lane i + 8, then + 4, + 2, + 1.
BULKHEAD_INLINE float sum_of_lanes(F32x16 a) {
  float x[kLanes];
  store(x, a);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) x[i] += x[i + width];
  }
  return x[0];
}

BULKHEAD_INLINE float max_of_lanes(F32x16 a) {
  float x[kLanes];
  store(x, a);
  float largest = x[0];
  for (int i = 1; i < kLanes; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
