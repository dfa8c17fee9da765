// SPDX-License-Identifier: MIT
// exp and tanh of sixteen lanes: the same bits on every instruction set, and one bit pattern per argument whatever its
// lane.
#pragma once

#include "engines/llama/kernels/simd.h"

namespace bulkhead::engines::llama::kernels {
namespace {

#if defined(BULKHEAD_KERNELS_AVX512)
BULKHEAD_INLINE F32x16 divide(F32x16 a, F32x16 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
#elif defined(BULKHEAD_KERNELS_AVX2)
BULKHEAD_INLINE F32x16 divide(F32x16 a, F32x16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
#elif defined(BULKHEAD_KERNELS_NEON)
BULKHEAD_INLINE F32x16 divide(F32x16 a, F32x16 b) {
  F32x16 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vdivq_f32(a.v[i], b.v[i]);
  return r;
}
#else
BULKHEAD_INLINE F32x16 divide(F32x16 a, F32x16 b) {
  F32x16 r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = a.v[i] / b.v[i];
  return r;
}
#endif

#if defined(BULKHEAD_KERNELS_AVX512)
// y * 2^n in one instruction, which needs no clamp: where n is out of range, the result is not used or NaN.
BULKHEAD_INLINE F32x16 power_of(F32x16 whole) {
  return whole;
}
BULKHEAD_INLINE F32x16 scaled(F32x16 y, F32x16 n) {
  return {_mm512_scalef_ps(y.v, n.v)};
}
#else
// The clamp makes a number of what a NaN or an infinity left there.
BULKHEAD_INLINE F32x16 power_of(F32x16 whole) {
  return min(max(whole, broadcast(-126.0F)), broadcast(127.0F));
}
BULKHEAD_INLINE F32x16 scaled(F32x16 y, F32x16 n) {
  return scale_by_power(y, n);
}
#endif

// e^x for x <= 88, within 2 units in the last place (measured by the tests); 0 below -87 (so also of -infinity),
// exactly 1 of 0; NaN of NaN.
BULKHEAD_INLINE F32x16 exponential(F32x16 x) {
  // x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts, the first with so few bits that n times it is exact.
  const F32x16 whole = round_even(mul(x, broadcast(0x1.715476p+0F)));
  const F32x16 n = power_of(whole);
  F32x16 r = fma(n, broadcast(-0x1.62e4p-1F), x);
  r = fma(n, broadcast(-0x1.7f7d1cp-20F), r);
  // The series to r^7 / 7!: what is left out is below 6e-9.
  F32x16 y = broadcast(1.0F / 5040);
  y = fma(y, r, broadcast(1.0F / 720));
  y = fma(y, r, broadcast(1.0F / 120));
  y = fma(y, r, broadcast(1.0F / 24));
  y = fma(y, r, broadcast(1.0F / 6));
  y = fma(y, r, broadcast(0.5F));
  y = fma(y, r, broadcast(1.0F));
  y = fma(y, r, broadcast(1.0F));
  return where_less(x, broadcast(-87.0F), broadcast(0.0F), scaled(y, n));
}

// Within 3 units in the last place (measured by the tests); NaN of NaN.
BULKHEAD_INLINE F32x16 hyperbolic_tangent(F32x16 x) {
  const F32x16 zero = broadcast(0.0F);
  const F32x16 magnitude = max(x, sub(zero, x));
  // Above 0.55, 1 - 2 / (e^2|x| + 1) loses nothing; beyond 10 it is 1 and the exponential need not overflow.
  const F32x16 e = exponential(min(add(magnitude, magnitude), broadcast(20.0F)));
  F32x16 large = sub(broadcast(1.0F), divide(broadcast(2.0F), add(e, broadcast(1.0F))));
  large = where_less(x, zero, sub(zero, large), large);
  // Below, the series x - x^3/3 + 2x^5/15 - ... to x^15.
  const F32x16 square = mul(x, x);
  F32x16 y = broadcast(-929569.0F / 638512875.0F);
  y = fma(y, square, broadcast(21844.0F / 6081075.0F));
  y = fma(y, square, broadcast(-1382.0F / 155925.0F));
  y = fma(y, square, broadcast(62.0F / 2835.0F));
  y = fma(y, square, broadcast(-17.0F / 315.0F));
  y = fma(y, square, broadcast(2.0F / 15.0F));
  y = fma(y, square, broadcast(-1.0F / 3.0F));
  const F32x16 small = fma(mul(y, square), x, x);
  // A NaN is neither below nor above: x itself. (min() above made a number of it.)
  const F32x16 limit = broadcast(0.55F);
  return where_less(magnitude, limit, small, where_less(broadcast(0.5F), magnitude, large, x));
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
