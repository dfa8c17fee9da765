// SPDX-License-Identifier: MIT
// How likely a drawn token was, and the likeliest ones beside it.
#pragma once

#include "engine/engine.h"

#include <cstdint>
#include <span>

namespace bulkhead::engines::llama {

// From the softmax of `logits` as the model gave them, of which at least one is a finite number. The numbers are those
// of log_probability() (continuation.h), bit for bit. A logit that is no number counts as -infinity. `count`: how many
// of the likeliest are told, all of them where there are fewer.
[[nodiscard]] TokenLogprobs logprobs_of(std::span<const float> logits, engine::Token drawn, std::uint32_t count);

}  // namespace bulkhead::engines::llama
