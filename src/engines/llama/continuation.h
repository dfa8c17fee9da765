// SPDX-License-Identifier: MIT
// Log probabilities of given tokens: of one text, and of several continuations of one sequence in a batch.
#pragma once

#include "engines/llama/sequence.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

// So many continuations are computed together at most.
inline constexpr std::size_t kContinuations = 16;

// The log of the sum of e^logit, in double. Logits that are no numbers do not count.
[[nodiscard]] double log_sum(std::span<const float> logits);

// The natural log of the probability that softmax gives to `token`, summed in double.
[[nodiscard]] double log_probability(std::span<const float> logits, engine::Token token);

struct Continuation {
  std::span<const engine::Token> tokens;  // 1 to kScoreTokens
  Sequence* fork = nullptr;               // a fork of the whole source; null where tokens has one element
  std::vector<double> scores;             // [n_tokens], natural logs
  std::optional<Error> error;
};

// Fills in the scores. `logits` are those after the source's last token. The forks are used up: they hold rubbish
// afterwards and must be closed. Those of one decoder are computed in batches of up to kScoreTokens rows, padded to the
// longest of each where it does not mix; the last token of each is not computed, since nothing asks for what follows.
void score_batch(std::span<const float> logits, std::span<Continuation> batch);

}  // namespace bulkhead::engines::llama
