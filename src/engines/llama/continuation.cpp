// SPDX-License-Identifier: MIT
#include "engines/llama/continuation.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

double logit_at(std::span<const float> logits, Token token) {
  return static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

// The tokens behind the first, without the last, up to `length` with some token: its cells are never looked at.
std::vector<Token> padded_draft(std::span<const Token> tokens, std::size_t length) {
  std::vector<Token> draft(tokens.begin() + 1, tokens.end() - 1);
  draft.resize(length, tokens.front());
  return draft;
}

// All forks have one decoder, the longest continuation comes first, and all their rows fit into kScoreTokens.
void score_group(std::span<Continuation* const> group) {
  const auto longest = group.front()->tokens.size();
  const bool mixes = group.front()->fork->cells->decoder().mixes();
  std::vector<StepPart> parts;
  for (auto* one : group) {
    one->fork->tokens.push_back(one->tokens.front());
    one->fork->pending = true;
    one->fork->logits.reset();
    parts.push_back({one->fork, padded_draft(one->tokens, (mixes ? one->tokens.size() : longest) - 2), Want::kAll});
  }
  const auto outcomes = decode_step(parts);
  for (std::size_t i = 0; i < group.size(); ++i) {
    Continuation& one = *group[i];
    const auto& rows = outcomes[i].logits;
    one.error = outcomes[i].error;
    // After a failed batch decode_step() tries each without its draft: then rows are missing.
    if (!one.error && rows.size() + 1 < one.tokens.size()) {
      one.error = Error{ErrorCode::kInternal, "libllama could not decode the continuations together", {}, {}};
    }
    for (std::size_t j = 1; !one.error && j < one.tokens.size(); ++j) {
      one.scores.push_back(log_probability(rows[j - 1], one.tokens[j]));
    }
  }
}

}  // namespace

double log_sum(std::span<const float> logits) {
  float largest = -std::numeric_limits<float>::infinity();
  for (const float logit : logits) largest = logit > largest ? logit : largest;
  double sum = 0;
  for (const float logit : logits) {
    if (!std::isnan(logit)) sum += std::exp(static_cast<double>(logit) - static_cast<double>(largest));
  }
  return static_cast<double>(largest) + std::log(sum);
}

double log_probability(std::span<const float> logits, Token token) {
  return logit_at(logits, token) - log_sum(logits);
}

void score_batch(std::span<const float> logits, std::span<Continuation> batch) {
  const double sum = log_sum(logits);
  std::vector<Continuation*> waiting;
  for (auto& one : batch) {
    one.scores = {logit_at(logits, one.tokens.front()) - sum};
    if (one.fork != nullptr) waiting.push_back(&one);
  }
  // Long ones first: neighbours are then of nearly equal lengths, and little is padded.
  std::stable_sort(waiting.begin(), waiting.end(),
                   [](const Continuation* a, const Continuation* b) { return a->tokens.size() > b->tokens.size(); });
  while (!waiting.empty()) {
    auto* decoder = &waiting.front()->fork->cells->decoder();
    const auto rest = std::stable_partition(waiting.begin(), waiting.end(), [&](const Continuation* one) {
      return &one->fork->cells->decoder() == decoder;
    });
    const auto longest = waiting.front()->tokens.size();
    std::size_t rows = 0;
    const auto end = std::find_if(waiting.begin(), rest, [&](const Continuation* one) {
      rows += (decoder->mixes() ? one->tokens.size() : longest) - 1;
      return rows > kScoreTokens;
    });
    score_group(std::span(waiting.begin(), end));
    waiting.erase(waiting.begin(), end);
  }
}

}  // namespace bulkhead::engines::llama
