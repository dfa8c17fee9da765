// SPDX-License-Identifier: MIT
#include "null_data.h"

#include "measure/distributions.h"

#include <cmath>

namespace bulkhead::measure {
namespace {

constexpr std::size_t kGrid = std::size_t{1} << 31U;
constexpr double kTail = 0.005;

double uniform(RandomDraws& draws) {
  return (static_cast<double>(draws.index(kGrid)) + 0.5) / static_cast<double>(kGrid);
}

// One condition minus the other, for one question. `trait` (0 to 1) is the conversation's.
double difference(NullScores kind, double trait, RandomDraws& draws) {
  if (kind == NullScores::kContinuous) return 0.2 - (0.3 * std::log(trait)) + (0.2 * normal_quantile(uniform(draws)));
  const bool first = uniform(draws) < 0.6 * trait;
  const bool second = uniform(draws) < 0.1 * trait;
  return static_cast<double>(first) - static_cast<double>(second);
}

}  // namespace

NullData draw_null_data(NullScores kind, std::size_t conversations, RandomDraws& draws) {
  NullData data;
  for (std::size_t conversation = 0; conversation < conversations; ++conversation) {
    const double trait = uniform(draws);
    const bool swapped = draws.coin();
    const std::size_t questions = 1 + draws.index(4);
    for (std::size_t i = 0; i < questions; ++i) {
      const double value = difference(kind, trait, draws);
      data.differences.push_back(swapped ? -value : value);
      data.clusters.push_back(conversation);
    }
  }
  return data;
}

bool not_too_many(std::size_t hits, std::size_t sets, double level) {
  return hits == 0 || 1.0 - binomial_cdf(hits - 1, sets, level) > kTail;
}

bool not_too_few(std::size_t hits, std::size_t sets, double level) {
  return binomial_cdf(hits, sets, level) > kTail;
}

}  // namespace bulkhead::measure
