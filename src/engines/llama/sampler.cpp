// SPDX-License-Identifier: MIT
#include "engines/llama/sampler.h"

#include "engines/llama/mutant.h"
#include "engines/llama/token_weights.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

// Weights are summed in blocks, so that a draw walks over blocks first.
constexpr std::size_t kBlock = 1024;

// The first token with the largest logit. Only the block it is in is searched value by value: no compiler vectorizes a
// search that may end early.
Token most_likely(std::span<const float> logits) {
  std::size_t best_begin = 0;
  float best = -std::numeric_limits<float>::infinity();
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const float largest = largest_of(logits.subspan(begin, std::min(kBlock, logits.size() - begin)));
    if (largest <= best) continue;
    best = largest;
    best_begin = begin;
  }
  const auto block = logits.subspan(best_begin);
  return static_cast<Token>(std::find(block.begin(), block.end(), best) - logits.begin());
}

// -infinity for the place after the last: what most_likely() gives when there is no number at all.
float logit_of(std::span<const float> logits, Token token) {
  const auto index = static_cast<std::size_t>(token);
  return index < logits.size() ? logits[index] : -std::numeric_limits<float>::infinity();
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options, std::span<const Token> forbidden, std::vector<TokenBias> bias)
    : options_(options), forbidden_(forbidden), bias_(std::move(bias)), generator_(options.seed) {}

double Sampler::uniform() {
  if (mutant(Mutant::kSharedGenerator)) {
    static std::mt19937 shared;  // NOLINT(cert-msc32-c,cert-msc51-cpp): a defect on purpose
    generator_ = shared;
    static_cast<void>(shared());
  }
  const auto high = static_cast<std::uint64_t>(generator_()) >> 5U;
  const auto low = static_cast<std::uint64_t>(generator_()) >> 6U;
  return static_cast<double>((high << 26U) | low) / 9007199254740992.0;  // 53 bits
}

std::span<const float> Sampler::biased(std::span<const float> logits) {
  if (bias_.empty()) return logits;
  biased_.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : bias_) biased_[static_cast<std::size_t>(token)] += bias;
  return biased_;
}

std::span<const float> Sampler::adjusted(std::span<const float> logits, std::span<const Token> history) {
  const auto recent = std::min(history.size(), static_cast<std::size_t>(options_.repeat_last_n));
  const bool penalize = options_.repeat_penalty != 1.0F && recent > 0;
  if (!penalize && forbidden_.empty()) return logits;
  logits_.assign(logits.begin(), logits.end());
  if (penalize) {
    for (const Token token : history.last(recent)) {
      // From the untouched logit: a token is penalized once, however often it occurs.
      const auto index = static_cast<std::size_t>(token);
      const float logit = logits[index];
      logits_[index] = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
    }
  }
  for (const Token token : forbidden_) {
    logits_[static_cast<std::size_t>(token)] = -std::numeric_limits<float>::infinity();
  }
  return logits_;
}

std::optional<Token> Sampler::draw_greedily(std::span<const float> given, std::span<const Token> history) {
  // Without a penalty the adjusted logits differ in the forbidden tokens only, and those seldom win: no copy is needed.
  if (options_.repeat_penalty == 1.0F) {
    const Token token = most_likely(given);
    const bool allowed = std::find(forbidden_.begin(), forbidden_.end(), token) == forbidden_.end();
    if (allowed && std::isfinite(logit_of(given, token))) return token;
  }
  const auto logits = adjusted(given, history);
  const Token token = most_likely(logits);
  if (!std::isfinite(logit_of(logits, token))) return std::nullopt;
  return token;
}

std::optional<Token> Sampler::draw(std::span<const float> raw_logits, std::span<const Token> history) {
  const auto with_bias = biased(raw_logits);
  if (options_.temperature <= 0.0F) return draw_greedily(with_bias, history);
  const auto logits = adjusted(with_bias, history);
  const float largest = largest_of(logits);
  if (!std::isfinite(largest)) return std::nullopt;
  const bool filtered = options_.top_k > 0 || options_.top_p < 1.0F || options_.min_p > 0.0F;
  return filtered ? draw_filtered(logits, largest) : draw_from_all(logits, largest);
}

Token Sampler::draw_from_all(std::span<const float> logits, float largest) {
  weights_.resize(logits.size());
  // 1 / 1e-39 is infinite, and infinity times the 0 of the best token no number.
  const float scale = std::min(1.0F / options_.temperature, std::numeric_limits<float>::max());
  std::vector<double> sums;
  double total = 0;
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, logits.size());
    weigh(logits.subspan(begin, end - begin), largest, scale, std::span(weights_).subspan(begin, end - begin));
    sums.push_back(sum_of(std::span(weights_).subspan(begin, end - begin)));
    total += sums.back();
  }
  double left = uniform() * total;
  std::size_t block = 0;
  while (block + 1 < sums.size() && left >= sums[block]) left -= sums[block++];
  // Rounding may leave a little at the end: the last token with any weight takes it.
  std::size_t chosen = 0;
  for (std::size_t i = block * kBlock; i < weights_.size(); ++i) {
    if (weights_[i] <= 0.0F) continue;
    chosen = i;
    left -= static_cast<double>(weights_[i]);
    if (left < 0) return static_cast<Token>(chosen);
  }
  if (weights_[chosen] > 0.0F) return static_cast<Token>(chosen);
  return static_cast<Token>(std::max_element(weights_.begin(), weights_.end()) - weights_.begin());
}

// The k best, by a heap whose worst member stands in front.
void Sampler::collect_top_k(std::span<const float> logits, float largest) {
  const auto better = [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; };
  const auto most = static_cast<std::size_t>(options_.top_k);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const bool full = candidates_.size() == most;
    if (!(logits[i] > (full ? candidates_.front().logit : -std::numeric_limits<float>::infinity()))) continue;
    if (full) {
      std::pop_heap(candidates_.begin(), candidates_.end(), better);
      candidates_.pop_back();
    }
    candidates_.push_back({static_cast<Token>(i), logits[i], std::exp(static_cast<double>(logits[i] - largest))});
    std::push_heap(candidates_.begin(), candidates_.end(), better);
  }
}

// Those that can be in the top-p set or pass min-p; gives the weight of all. The others together weigh less than 1 - p.
double Sampler::collect_likely(std::span<const float> logits, float largest) {
  weights_.resize(logits.size());
  weigh(logits, largest, 1.0F, weights_);
  const double total = sum_of(weights_);
  const double beyond = (1.0 - static_cast<double>(options_.top_p)) * total / static_cast<double>(logits.size());
  const double least = std::max(beyond, static_cast<double>(options_.min_p));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto weight = static_cast<double>(weights_[i]);
    if (weight >= least && weight > 0) candidates_.push_back({static_cast<Token>(i), logits[i], weight});
  }
  return total;
}

// Top-p and min-p on candidates that are sorted, best first.
void Sampler::cut_tail(double total) {
  const double enough = static_cast<double>(options_.top_p) * total;
  double sum = 0;
  std::size_t kept = 0;
  while (kept < candidates_.size()) {
    if (kept > 0 && candidates_[kept].weight < static_cast<double>(options_.min_p)) break;
    sum += candidates_[kept++].weight;
    if (options_.top_p < 1.0F && sum >= enough) break;
  }
  candidates_.resize(kept);
}

Token Sampler::draw_filtered(std::span<const float> logits, float largest) {
  candidates_.clear();
  double total = 0;
  if (options_.top_k > 0 && static_cast<std::size_t>(options_.top_k) < logits.size()) {
    collect_top_k(logits, largest);
    for (const auto& candidate : candidates_) total += candidate.weight;
  } else {
    total = collect_likely(logits, largest);
  }
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  });
  cut_tail(total);
  const auto tempered = [&](const Candidate& candidate) {
    return std::exp(static_cast<double>(candidate.logit - largest) / static_cast<double>(options_.temperature));
  };
  double sum = 0;
  for (const auto& candidate : candidates_) sum += tempered(candidate);
  double rest = uniform() * sum;
  for (const auto& candidate : candidates_) {
    rest -= tempered(candidate);
    if (rest < 0) return candidate.token;
  }
  return candidates_.back().token;
}

}  // namespace bulkhead::engines::llama
