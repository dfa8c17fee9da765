// SPDX-License-Identifier: MIT
// The passes over a whole vocabulary that a draw needs: a quarter of a million values for each token drawn. Compiled
// for several instruction sets and chosen at run time; each gives the same bits.
#pragma once

#include <span>

namespace bulkhead::engines::llama {

// The largest value; NaN is passed over. -infinity if there is none.
[[nodiscard]] float largest_of(std::span<const float> values);

// weights[i] = e^((values[i] - largest) * scale), with a relative error below 2e-7; 0 where that is below e^-87, and
// for NaN. No value is larger than `largest`; scale is positive. Both spans have the same length.
void weigh(std::span<const float> values, float largest, float scale, std::span<float> weights);

// In double precision, in an order that depends on the length only.
[[nodiscard]] double sum_of(std::span<const float> values);

}  // namespace bulkhead::engines::llama
