// SPDX-License-Identifier: MIT
// The integer half of simd.h: sixteen lanes of int32, and 64 bytes seen as sixteen lanes of four.
//
// Contract: all results are exact, so they are the same on every instruction set and in every order of summation. The
// same rules of use as for simd.h.
#pragma once

#include "engines/llama/kernels/simd.h"

namespace bulkhead::engines::llama::kernels {
namespace {

#if defined(BULKHEAD_KERNELS_AVX512)

struct I32x16 {
  __m512i v;
};
struct U8x64 {
  __m512i v;
};
// A read through this type may look at any other type's bytes.
using AnyInt32 = int32_t __attribute__((may_alias));

BULKHEAD_INLINE I32x16 broadcast_i32(int32_t x) {
  return {_mm512_set1_epi32(x)};
}
BULKHEAD_INLINE I32x16 load_bits(const float* from) {
  return {_mm512_loadu_si512(from)};
}
BULKHEAD_INLINE I32x16 and_i32(I32x16 a, I32x16 b) {
  return {_mm512_and_si512(a.v, b.v)};
}
BULKHEAD_INLINE I32x16 add_i32(I32x16 a, I32x16 b) {
  return {_mm512_add_epi32(a.v, b.v)};
}
BULKHEAD_INLINE I32x16 max_i32(I32x16 a, I32x16 b) {
  return {_mm512_max_epi32(a.v, b.v)};
}
BULKHEAD_INLINE int32_t sum_i32(I32x16 a) {
  return _mm512_reduce_add_epi32(a.v);
}
BULKHEAD_INLINE int32_t largest_i32(I32x16 a) {
  return _mm512_reduce_max_epi32(a.v);
}
BULKHEAD_INLINE F32x16 to_float(I32x16 a) {
  return {_mm512_cvtepi32_ps(a.v)};
}
// Nearest integer, halves to even.
BULKHEAD_INLINE I32x16 round_to_i32(F32x16 a) {
  return {_mm512_cvt_roundps_epi32(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// Sixteen bytes; each lane must lie in [-128, 127].
BULKHEAD_INLINE void store_i8(int8_t* to, I32x16 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(a.v));
}
BULKHEAD_INLINE U8x64 load_bytes(const void* from) {
  return {_mm512_loadu_si512(from)};
}
BULKHEAD_INLINE U8x64 broadcast_byte(uint8_t x) {
  return {_mm512_set1_epi8(static_cast<char>(x))};
}
BULKHEAD_INLINE U8x64 and_bytes(U8x64 a, U8x64 b) {
  return {_mm512_and_si512(a.v, b.v)};
}
// a | (b & mask)
BULKHEAD_INLINE U8x64 or_masked(U8x64 a, U8x64 b, U8x64 mask) {
  return {_mm512_ternarylogic_epi32(a.v, b.v, mask.v, 0xF8)};
}
// Whole 32-bit lanes are shifted: bits of one byte enter its neighbour.
BULKHEAD_INLINE U8x64 shift_right(U8x64 a, unsigned bits) {
  return {_mm512_srli_epi32(a.v, bits)};
}
BULKHEAD_INLINE U8x64 shift_left(U8x64 a, unsigned bits) {
  return {_mm512_slli_epi32(a.v, bits)};
}
// Byte `i` of each lane, 0 to 255.
BULKHEAD_INLINE I32x16 byte_of_lane(U8x64 a, unsigned i) {
  return {_mm512_and_si512(_mm512_srli_epi32(a.v, 8 * i), _mm512_set1_epi32(255))};
}
// Per lane: sum + w[0] x[0] + ... + w[3] x[3], bytes of w unsigned, the four of x signed and the same for all lanes.
BULKHEAD_INLINE I32x16 dot4(I32x16 sum, U8x64 w, const int8_t* x) {
  // g++ 12 does not fold the broadcast into the instruction, which costs a register and an instruction each time.
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum.v) : "v"(w.v), "m"(*reinterpret_cast<const AnyInt32*>(x)));
  return sum;
}
// Per lane: sum + w[0] x[0] + w[1] x[1], all of 16 bits and signed.
BULKHEAD_INLINE I32x16 dot2(I32x16 sum, U8x64 w, const int16_t* x) {
  return {_mm512_dpwssd_epi32(sum.v, w.v, _mm512_set1_epi32(*reinterpret_cast<const AnyInt32*>(x)))};
}
// Into the first-level cache (near) or the second.
template <bool kNear>
BULKHEAD_INLINE void prefetch(const char* from) {
  _mm_prefetch(from, kNear ? _MM_HINT_T0 : _MM_HINT_T1);
}

#elif defined(BULKHEAD_KERNELS_AVX2)

struct I32x16 {
  __m256i lo, hi;
};
struct U8x64 {
  __m256i lo, hi;
};
using AnyInt32 = int32_t __attribute__((may_alias));

BULKHEAD_INLINE I32x16 broadcast_i32(int32_t x) {
  return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
BULKHEAD_INLINE I32x16 load_bits(const float* from) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 8))};
}
BULKHEAD_INLINE I32x16 and_i32(I32x16 a, I32x16 b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
BULKHEAD_INLINE I32x16 add_i32(I32x16 a, I32x16 b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
BULKHEAD_INLINE I32x16 max_i32(I32x16 a, I32x16 b) {
  return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)};
}
BULKHEAD_INLINE int32_t sum_i32(I32x16 a) {
  const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
BULKHEAD_INLINE int32_t largest_i32(I32x16 a) {
  const __m256i eight = _mm256_max_epi32(a.lo, a.hi);
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
BULKHEAD_INLINE F32x16 to_float(I32x16 a) {
  return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}
BULKHEAD_INLINE I32x16 round_to_i32(F32x16 a) {
  const F32x16 whole = round_even(a);
  return {_mm256_cvtps_epi32(whole.lo), _mm256_cvtps_epi32(whole.hi)};
}
BULKHEAD_INLINE void store_i8(int8_t* to, I32x16 a) {
  // The packs work on each half of a register: the four quarters come out in the order 0 2 1 3.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
}
BULKHEAD_INLINE U8x64 load_bytes(const void* from) {
  const auto* halves = static_cast<const __m256i*>(from);
  return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
}
BULKHEAD_INLINE U8x64 broadcast_byte(uint8_t x) {
  return {_mm256_set1_epi8(static_cast<char>(x)), _mm256_set1_epi8(static_cast<char>(x))};
}
BULKHEAD_INLINE U8x64 and_bytes(U8x64 a, U8x64 b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
BULKHEAD_INLINE U8x64 or_masked(U8x64 a, U8x64 b, U8x64 mask) {
  return {_mm256_or_si256(a.lo, _mm256_and_si256(b.lo, mask.lo)),
          _mm256_or_si256(a.hi, _mm256_and_si256(b.hi, mask.hi))};
}
BULKHEAD_INLINE U8x64 shift_right(U8x64 a, unsigned bits) {
  const int count = static_cast<int>(bits);
  return {_mm256_srli_epi32(a.lo, count), _mm256_srli_epi32(a.hi, count)};
}
BULKHEAD_INLINE U8x64 shift_left(U8x64 a, unsigned bits) {
  const int count = static_cast<int>(bits);
  return {_mm256_slli_epi32(a.lo, count), _mm256_slli_epi32(a.hi, count)};
}
BULKHEAD_INLINE I32x16 byte_of_lane(U8x64 a, unsigned i) {
  const U8x64 moved = shift_right(a, 8 * i);
  const __m256i mask = _mm256_set1_epi32(255);
  return {_mm256_and_si256(moved.lo, mask), _mm256_and_si256(moved.hi, mask)};
}
BULKHEAD_INLINE __m256i four_of(const int8_t* x) {
  return _mm256_set1_epi32(*reinterpret_cast<const AnyInt32*>(x));
}
#if defined(BULKHEAD_KERNELS_AVXVNNI)
BULKHEAD_INLINE I32x16 dot4(I32x16 sum, U8x64 w, const int8_t* x) {
  const __m256i four = four_of(x);
  return {_mm256_dpbusd_avx_epi32(sum.lo, w.lo, four), _mm256_dpbusd_avx_epi32(sum.hi, w.hi, four)};
}
#endif
BULKHEAD_INLINE I32x16 dot2(I32x16 sum, U8x64 w, const int16_t* x) {
  const __m256i two = _mm256_set1_epi32(*reinterpret_cast<const AnyInt32*>(x));
  return {_mm256_add_epi32(sum.lo, _mm256_madd_epi16(w.lo, two)),
          _mm256_add_epi32(sum.hi, _mm256_madd_epi16(w.hi, two))};
}
template <bool kNear>
BULKHEAD_INLINE void prefetch(const char* from) {
  _mm_prefetch(from, kNear ? _MM_HINT_T0 : _MM_HINT_T1);
}

#elif defined(BULKHEAD_KERNELS_NEON)

struct I32x16 {
  int32x4_t v[4];
};
struct U8x64 {
  uint8x16_t v[4];
};

#define BULKHEAD_QUARTERS(type, expression)          \
  type r;                                            \
  for (int i = 0; i < 4; ++i) r.v[i] = (expression); \
  return r

BULKHEAD_INLINE I32x16 broadcast_i32(int32_t x) {
  BULKHEAD_QUARTERS(I32x16, vdupq_n_s32(x));
}
BULKHEAD_INLINE I32x16 load_bits(const float* from) {
  BULKHEAD_QUARTERS(I32x16, vreinterpretq_s32_f32(vld1q_f32(from + 4 * i)));
}
BULKHEAD_INLINE I32x16 and_i32(I32x16 a, I32x16 b) {
  BULKHEAD_QUARTERS(I32x16, vandq_s32(a.v[i], b.v[i]));
}
BULKHEAD_INLINE I32x16 add_i32(I32x16 a, I32x16 b) {
  BULKHEAD_QUARTERS(I32x16, vaddq_s32(a.v[i], b.v[i]));
}
BULKHEAD_INLINE I32x16 max_i32(I32x16 a, I32x16 b) {
  BULKHEAD_QUARTERS(I32x16, vmaxq_s32(a.v[i], b.v[i]));
}
BULKHEAD_INLINE int32_t sum_i32(I32x16 a) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3])));
}
BULKHEAD_INLINE int32_t largest_i32(I32x16 a) {
  return vmaxvq_s32(vmaxq_s32(vmaxq_s32(a.v[0], a.v[1]), vmaxq_s32(a.v[2], a.v[3])));
}
BULKHEAD_INLINE F32x16 to_float(I32x16 a) {
  BULKHEAD_QUARTERS(F32x16, vcvtq_f32_s32(a.v[i]));
}
BULKHEAD_INLINE I32x16 round_to_i32(F32x16 a) {
  BULKHEAD_QUARTERS(I32x16, vcvtnq_s32_f32(a.v[i]));
}
BULKHEAD_INLINE void store_i8(int8_t* to, I32x16 a) {
  const int16x8_t lo = vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1]));
  const int16x8_t hi = vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3]));
  vst1q_s8(to, vcombine_s8(vmovn_s16(lo), vmovn_s16(hi)));
}
BULKHEAD_INLINE U8x64 load_bytes(const void* from) {
  BULKHEAD_QUARTERS(U8x64, vld1q_u8(static_cast<const uint8_t*>(from) + 16 * i));
}
BULKHEAD_INLINE U8x64 broadcast_byte(uint8_t x) {
  BULKHEAD_QUARTERS(U8x64, vdupq_n_u8(x));
}
BULKHEAD_INLINE U8x64 and_bytes(U8x64 a, U8x64 b) {
  BULKHEAD_QUARTERS(U8x64, vandq_u8(a.v[i], b.v[i]));
}
BULKHEAD_INLINE U8x64 or_masked(U8x64 a, U8x64 b, U8x64 mask) {
  BULKHEAD_QUARTERS(U8x64, vorrq_u8(a.v[i], vandq_u8(b.v[i], mask.v[i])));
}
BULKHEAD_INLINE U8x64 shift_left(U8x64 a, unsigned bits) {
  const int32x4_t count = vdupq_n_s32(static_cast<int32_t>(bits));
  BULKHEAD_QUARTERS(U8x64, vreinterpretq_u8_u32(vshlq_u32(vreinterpretq_u32_u8(a.v[i]), count)));
}
BULKHEAD_INLINE U8x64 shift_right(U8x64 a, unsigned bits) {
  const int32x4_t count = vdupq_n_s32(-static_cast<int32_t>(bits));
  BULKHEAD_QUARTERS(U8x64, vreinterpretq_u8_u32(vshlq_u32(vreinterpretq_u32_u8(a.v[i]), count)));
}
BULKHEAD_INLINE I32x16 byte_of_lane(U8x64 a, unsigned n) {
  const U8x64 moved = shift_right(a, 8 * n);
  BULKHEAD_QUARTERS(I32x16, vandq_s32(vreinterpretq_s32_u8(moved.v[i]), vdupq_n_s32(255)));
}
BULKHEAD_INLINE int8x16_t four_of(const int8_t* x) {
  int32_t four;
  memcpy(&four, x, sizeof(four));
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
#if defined(BULKHEAD_KERNELS_I8MM)
BULKHEAD_INLINE I32x16 dot4(I32x16 sum, U8x64 w, const int8_t* x) {
  const int8x16_t four = four_of(x);
  BULKHEAD_QUARTERS(I32x16, vusdotq_s32(sum.v[i], w.v[i], four));
}
#else
// Bytes of w up to 127 only: there is no dot product of unsigned with signed bytes.
BULKHEAD_INLINE I32x16 dot4(I32x16 sum, U8x64 w, const int8_t* x) {
  const int8x16_t four = four_of(x);
  BULKHEAD_QUARTERS(I32x16, vdotq_s32(sum.v[i], vreinterpretq_s8_u8(w.v[i]), four));
}
// As dot4, but with w - 128 in the place of w, for any w.
BULKHEAD_INLINE I32x16 dot4_less_128(I32x16 sum, U8x64 w, const int8_t* x) {
  const int8x16_t four = four_of(x);
  const uint8x16_t sign = vdupq_n_u8(0x80);
  BULKHEAD_QUARTERS(I32x16, vdotq_s32(sum.v[i], vreinterpretq_s8_u8(veorq_u8(w.v[i], sign)), four));
}
#endif
BULKHEAD_INLINE I32x16 dot2(I32x16 sum, U8x64 w, const int16_t* x) {
  I32x16 r;
  for (int i = 0; i < 4; ++i) {
    const int32x4_t pair = vreinterpretq_s32_u8(w.v[i]);
    const int32x4_t first = vshrq_n_s32(vshlq_n_s32(pair, 16), 16);
    r.v[i] = vmlaq_n_s32(vmlaq_n_s32(sum.v[i], first, x[0]), vshrq_n_s32(pair, 16), x[1]);
  }
  return r;
}
template <bool kNear>
BULKHEAD_INLINE void prefetch(const char* from) {
  __builtin_prefetch(from, 0, kNear ? 3 : 2);
}
#undef BULKHEAD_QUARTERS

#else  // scalar

struct I32x16 {
  int32_t v[kLanes];
};
struct U8x64 {
  uint32_t v[kLanes];  // the first of a lane's four bytes is the lowest
};

#define BULKHEAD_EACH(type, expression)                   \
  type r;                                                 \
  for (int i = 0; i < kLanes; ++i) r.v[i] = (expression); \
  return r

BULKHEAD_INLINE I32x16 broadcast_i32(int32_t x) {
  BULKHEAD_EACH(I32x16, x);
}
BULKHEAD_INLINE I32x16 load_bits(const float* from) {
  I32x16 r;
  memcpy(r.v, from, sizeof(r.v));
  return r;
}
BULKHEAD_INLINE I32x16 and_i32(I32x16 a, I32x16 b) {
  BULKHEAD_EACH(I32x16, a.v[i] & b.v[i]);
}
BULKHEAD_INLINE I32x16 add_i32(I32x16 a, I32x16 b) {
  BULKHEAD_EACH(I32x16, a.v[i] + b.v[i]);
}
BULKHEAD_INLINE I32x16 max_i32(I32x16 a, I32x16 b) {
  BULKHEAD_EACH(I32x16, a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}
BULKHEAD_INLINE int32_t sum_i32(I32x16 a) {
  int32_t sum = 0;
  for (const int32_t lane : a.v) sum += lane;
  return sum;
}
BULKHEAD_INLINE int32_t largest_i32(I32x16 a) {
  int32_t largest = a.v[0];
  for (int i = 1; i < kLanes; ++i) largest = a.v[i] > largest ? a.v[i] : largest;
  return largest;
}
BULKHEAD_INLINE F32x16 to_float(I32x16 a) {
  BULKHEAD_EACH(F32x16, static_cast<float>(a.v[i]));
}
BULKHEAD_INLINE I32x16 round_to_i32(F32x16 a) {
  BULKHEAD_EACH(I32x16, static_cast<int32_t>(nearbyintf(a.v[i])));
}
BULKHEAD_INLINE void store_i8(int8_t* to, I32x16 a) {
  for (int i = 0; i < kLanes; ++i) to[i] = static_cast<int8_t>(a.v[i]);
}
BULKHEAD_INLINE U8x64 load_bytes(const void* from) {
  U8x64 r;
  memcpy(r.v, from, sizeof(r.v));
  return r;
}
BULKHEAD_INLINE U8x64 broadcast_byte(uint8_t x) {
  BULKHEAD_EACH(U8x64, x * 0x01010101U);
}
BULKHEAD_INLINE U8x64 and_bytes(U8x64 a, U8x64 b) {
  BULKHEAD_EACH(U8x64, a.v[i] & b.v[i]);
}
BULKHEAD_INLINE U8x64 or_masked(U8x64 a, U8x64 b, U8x64 mask) {
  BULKHEAD_EACH(U8x64, a.v[i] | (b.v[i] & mask.v[i]));
}
BULKHEAD_INLINE U8x64 shift_right(U8x64 a, unsigned bits) {
  BULKHEAD_EACH(U8x64, a.v[i] >> bits);
}
BULKHEAD_INLINE U8x64 shift_left(U8x64 a, unsigned bits) {
  BULKHEAD_EACH(U8x64, a.v[i] << bits);
}
BULKHEAD_INLINE I32x16 byte_of_lane(U8x64 a, unsigned n) {
  BULKHEAD_EACH(I32x16, static_cast<int32_t>((a.v[i] >> (8 * n)) & 255U));
}
BULKHEAD_INLINE I32x16 dot4(I32x16 sum, U8x64 w, const int8_t* x) {
  I32x16 r;
  for (int i = 0; i < kLanes; ++i) {
    int32_t lane = sum.v[i];
    for (unsigned b = 0; b < 4; ++b) lane += static_cast<int32_t>((w.v[i] >> (8 * b)) & 255U) * x[b];
    r.v[i] = lane;
  }
  return r;
}
BULKHEAD_INLINE I32x16 dot2(I32x16 sum, U8x64 w, const int16_t* x) {
  BULKHEAD_EACH(I32x16,
                sum.v[i] + static_cast<int16_t>(w.v[i] & 0xffffU) * x[0] + static_cast<int16_t>(w.v[i] >> 16U) * x[1]);
}
template <bool kNear>
BULKHEAD_INLINE void prefetch(const char* from) {
  __builtin_prefetch(from, 0, kNear ? 3 : 2);
}
#undef BULKHEAD_EACH

#endif

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
