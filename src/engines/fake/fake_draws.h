// SPDX-License-Identifier: MIT
// What the fake engine draws: its tokens are hashes of what can be seen.
#pragma once

#include "engine/engine.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace bulkhead::engines::fake {

[[nodiscard]] std::uint64_t mix(std::uint64_t a, std::uint64_t b);

// The printable token of `hash`, or the next one that is not forbidden; none: all are.
[[nodiscard]] std::optional<engine::Token> allowed_token(std::uint64_t hash, const std::vector<TokenBias>& bias);
[[nodiscard]] bool is_forbidden(engine::Token token, const std::vector<TokenBias>& bias);

// kUnsupported for a bias that is finite. One can only forbid here: no number added to a logit would make another hash.
[[nodiscard]] Result<void> check_bias(const std::vector<TokenBias>& biases);

// The log of a probability of `token` where `hash` is seen: a softmax over pseudo-random logits in which the token that
// is drawn greedily has the largest.
[[nodiscard]] double log_probability(std::uint64_t hash, engine::Token token);
[[nodiscard]] TokenLogprobs logprobs_of(std::uint64_t hash, engine::Token drawn, std::uint32_t count);

}  // namespace bulkhead::engines::fake
