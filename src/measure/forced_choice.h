// SPDX-License-Identifier: MIT
// Forced choice: of all values that clusters gave one slot, which does the model hold for the likeliest answer? A wrong
// value of another cluster is an intrusion. Pure, for any thread.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::measure {

struct Candidate {
  std::string cluster;           // whose value it is; a cluster may have several (outdated ones)
  double log_probability = 0.0;  // nats, summed over the value's tokens after the question
  std::size_t tokens = 1;        // at least 1
};

enum class LengthNormalization {
  kNone,      // total: favours short values
  kPerToken,  // mean over tokens
};

struct ForcedChoice {
  std::size_t chosen = 0;             // index of the highest score; of equal ones the first that is not the gold value
  std::vector<double> probabilities;  // softmax of the scores over the candidates, in their order
  double margin = 0.0;                // score of the gold value minus the best other one, nats (for each token)
  bool correct = false;               // the gold value was chosen: a tie is not enough
  bool intrusion = false;             // the chosen value is of another cluster than the gold value
};

// `candidates[gold]` is the right value. No two candidates should read the same. kBadInput when there are fewer than 2,
// gold is none of them, a log probability is not finite, or a value has no token.
[[nodiscard]] Result<ForcedChoice> choose(std::span<const Candidate> candidates, std::size_t gold,
                                          LengthNormalization normalization = LengthNormalization::kPerToken);

}  // namespace bulkhead::measure
