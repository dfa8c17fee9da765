// SPDX-License-Identifier: MIT
// Gated activations in the vocabulary of simd.h. Included once by each gated_unit_SET.cpp.
#pragma once

#include "engines/llama/kernels/gated_unit_table.h"
#include "engines/llama/kernels/simd_math.h"

namespace bulkhead::engines::llama::kernels {
namespace {

BULKHEAD_INLINE F32x16 gelu(F32x16 x) {
  constexpr float kMinusTwoRoots = -1.5957691216057308F;  // -2 sqrt(2 / pi)
  const F32x16 square = mul(x, x);
  const F32x16 inner = fma(square, broadcast(0.044715F * kMinusTwoRoots), broadcast(kMinusTwoRoots));
  // exponential() wants at most 88, which is reached where the result is already 0.
  const F32x16 e = exponential(min(mul(inner, x), broadcast(88.0F)));
  return where_less(x, broadcast(-10.0F), broadcast(0.0F), divide(x, add(broadcast(1.0F), e)));
}

static void geglu(const float* gate, const float* up, float* out, size_t count) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, mul(gelu(load(gate + i)), load(up + i)));
  if (i == count) return;
  float x[kLanes] = {};
  float y[kLanes] = {};
  memcpy(x, gate + i, (count - i) * sizeof(float));
  memcpy(y, up + i, (count - i) * sizeof(float));
  store(x, mul(gelu(load(x)), load(y)));
  memcpy(out + i, x, (count - i) * sizeof(float));
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
