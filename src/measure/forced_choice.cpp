// SPDX-License-Identifier: MIT
#include "measure/forced_choice.h"

#include <fmt/format.h>

#include <cmath>

namespace bulkhead::measure {
namespace {

Result<void> check(std::span<const Candidate> candidates, std::size_t gold) {
  if (candidates.size() < 2) {
    return Error{ErrorCode::kBadInput, fmt::format("{} candidates, at least 2 are needed", candidates.size()),
                 "candidates", ""};
  }
  if (gold >= candidates.size()) {
    return Error{ErrorCode::kBadInput, fmt::format("value {} is right, there are {}", gold, candidates.size()), "gold",
                 ""};
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (std::isfinite(candidates[i].log_probability) && candidates[i].tokens > 0) continue;
    return Error{
        ErrorCode::kBadInput,
        fmt::format("a log probability of {} over {} tokens", candidates[i].log_probability, candidates[i].tokens),
        fmt::format("candidates[{}]", i), ""};
  }
  return {};
}

}  // namespace

Result<ForcedChoice> choose(std::span<const Candidate> candidates, std::size_t gold,
                            LengthNormalization normalization) {
  BH_CHECK(check(candidates, gold));
  std::vector<double> scores;
  scores.reserve(candidates.size());
  for (const auto& candidate : candidates) {
    const bool total = normalization == LengthNormalization::kNone;
    scores.push_back(candidate.log_probability / (total ? 1.0 : static_cast<double>(candidate.tokens)));
  }
  std::size_t rival = gold == 0 ? 1 : 0;
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (i != gold && scores[i] > scores[rival]) rival = i;
  ForcedChoice choice;
  choice.margin = scores[gold] - scores[rival];
  choice.correct = choice.margin > 0.0;
  choice.chosen = choice.correct ? gold : rival;
  choice.intrusion = candidates[choice.chosen].cluster != candidates[gold].cluster;
  double sum = 0.0;
  for (const double score : scores) sum += choice.probabilities.emplace_back(std::exp(score - scores[choice.chosen]));
  for (double& probability : choice.probabilities) probability /= sum;
  return choice;
}

}  // namespace bulkhead::measure
