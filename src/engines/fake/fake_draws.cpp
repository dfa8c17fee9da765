// SPDX-License-Identifier: MIT
#include "engines/fake/fake_draws.h"

#include "base/hash.h"
#include "engines/fake/fake_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>

namespace bulkhead::engines::fake {
namespace {

using engine::Token;

constexpr Token kPrintable = 95;  // from ' ' on: what is drawn

Token greedy_token(std::uint64_t hash) {
  return static_cast<Token>(' ' + hash % kPrintable);
}

// The logs of a softmax over pseudo-random logits in which the greedy token has the largest. [kVocabulary]
std::vector<double> log_probabilities(std::uint64_t hash) {
  std::vector<double> logits;
  double sum = 0;
  for (std::uint32_t i = 0; i < kVocabulary; ++i) {
    const double base = static_cast<double>(mix(hash, i) % 4096) / 1024.0;
    logits.push_back(base + (static_cast<Token>(i) == greedy_token(hash) ? 4.0 : 0.0));
    sum += std::exp(logits.back());
  }
  for (auto& logit : logits) logit -= std::log(sum);
  return logits;
}

}  // namespace

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const std::array<std::uint64_t, 2> both = {a, b};
  return xxh3_64(std::as_bytes(std::span(both)));
}

bool is_forbidden(Token token, const std::vector<TokenBias>& bias) {
  return std::any_of(bias.begin(), bias.end(), [&](const TokenBias& one) { return one.token == token; });
}

std::optional<Token> allowed_token(std::uint64_t hash, const std::vector<TokenBias>& bias) {
  const auto first = greedy_token(hash);
  for (Token i = 0; i < kPrintable; ++i) {
    const auto token = ' ' + (first - ' ' + i) % kPrintable;
    if (!is_forbidden(token, bias)) return token;
  }
  return std::nullopt;
}

Result<void> check_bias(const std::vector<TokenBias>& biases) {
  const auto finite =
      std::find_if(biases.begin(), biases.end(), [](const TokenBias& one) { return std::isfinite(one.bias); });
  if (finite == biases.end()) return {};
  return Error{ErrorCode::kUnsupported,
               fmt::format("engine fake cannot add {} to token {}", finite->bias, finite->token), "logit_bias",
               "forbid tokens with -infinity, or use another engine"};
}

double log_probability(std::uint64_t hash, Token token) {
  return log_probabilities(hash)[static_cast<std::size_t>(token)];
}

TokenLogprobs logprobs_of(std::uint64_t hash, Token drawn, std::uint32_t count) {
  const auto logs = log_probabilities(hash);
  std::vector<TokenLogprob> all;
  for (std::size_t i = 0; i < logs.size(); ++i) all.push_back({static_cast<Token>(i), logs[i]});
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.logprob > b.logprob; });
  all.resize(std::min<std::size_t>(count, all.size()));
  return {logs[static_cast<std::size_t>(drawn)], std::move(all)};
}

}  // namespace bulkhead::engines::fake
