// SPDX-License-Identifier: MIT
// How far one model's next-token distribution is from another's: Kullback and Leibler 1951. Pure, for any thread.
#pragma once

#include "base/result.h"

#include <span>

namespace bulkhead::measure {

// KL(P || Q) in nats for one token, P and Q being the softmax of two rows of logits over one vocabulary; computed in
// double, never below 0. A logit of -infinity means probability 0; the divergence is infinite where Q has it and P has
// not. kBadInput when the rows are empty or differ in length, hold NaN or +infinity, or give no token a probability.
[[nodiscard]] Result<double> kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits);

}  // namespace bulkhead::measure
