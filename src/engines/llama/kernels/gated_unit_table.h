// SPDX-License-Identifier: MIT
// What an instruction set offers for gated activations: the contract between the ggml operator (gated_unit_op) and the
// kernels.
//
//   out[i] = gelu(gate[i]) * up[i],  gelu(x) = x / (1 + exp(-2 u)),  u = sqrt(2 / pi) (x + 0.044715 x^3)
//
// which is the tanh form of GELU (Hendrycks and Gimpel, 2016) without its tanh: 0.5 (1 + tanh u) = 1 / (1 + exp(-2 u)).
// Computed in floats (within 10 last places of the result, or of 0.001), not looked up in a table of halves as in ggml.
// Below -10 gelu is 0. Each element depends on its own two numbers only, and has the same bits on every instruction
// set; NaN gives NaN.
#pragma once

#include <stddef.h>  // NOLINT(modernize-deprecated-headers): see simd.h

namespace bulkhead::engines::llama::kernels {

struct GatedUnitTable {
  // `out` may be `gate` or `up`. Any thread.
  void (*geglu)(const float* gate, const float* up, float* out, size_t count);
};

extern const GatedUnitTable kGatedUnitScalar;
extern const GatedUnitTable kGatedUnitAvx2;
extern const GatedUnitTable kGatedUnitAvx512;
extern const GatedUnitTable kGatedUnitNeon;

}  // namespace bulkhead::engines::llama::kernels
