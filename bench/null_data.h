// SPDX-License-Identifier: MIT
// Data sets in which nothing is to be found: paired scores with an effect, whose condition labels were swapped at
// random within each conversation, for all its questions at once. What a test calls significant there, it calls so
// wrongly.
#pragma once

#include "measure/random_draws.h"

#include <cstddef>
#include <vector>

namespace bulkhead::measure {

enum class NullScores {
  kContinuous,  // such as nats per token: skewed over conversations, alike within one
  kRates,       // such as intrusions: each question 0 or 1 under each condition, so a difference is -1, 0 or 1
};

struct NullData {
  std::vector<double> differences;
  std::vector<std::size_t> clusters;  // conversation of each; 1 to 4 questions in one
};

// Depends on the state of `draws` only, and is the same on every machine.
[[nodiscard]] NullData draw_null_data(NullScores kind, std::size_t conversations, RandomDraws& draws);

// Whether `hits` of `sets` lie in the central 99 % of a binomial distribution with chance `level`: not too many, not
// too few.
[[nodiscard]] bool not_too_many(std::size_t hits, std::size_t sets, double level);
[[nodiscard]] bool not_too_few(std::size_t hits, std::size_t sets, double level);

}  // namespace bulkhead::measure
