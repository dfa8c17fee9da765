// SPDX-License-Identifier: MIT
#include "engines/llama/logprobs.h"

#include "engines/llama/continuation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

struct Ranked {
  Token token;
  float logit;

  // Best first, of equals the lower id first.
  [[nodiscard]] bool is_before(const Ranked& other) const {
    return logit > other.logit || (logit == other.logit && token < other.token);
  }
};

float number_at(std::span<const float> logits, std::size_t index) {
  return std::isnan(logits[index]) ? -std::numeric_limits<float>::infinity() : logits[index];
}

// A heap whose worst member stands in front; then sorted.
std::vector<Ranked> likeliest(std::span<const float> logits, std::size_t count) {
  const auto before = [](const Ranked& a, const Ranked& b) { return a.is_before(b); };
  std::vector<Ranked> best;
  for (std::size_t i = 0; i < logits.size() && count > 0; ++i) {
    const Ranked one{static_cast<Token>(i), number_at(logits, i)};
    if (best.size() == count) {
      if (!one.is_before(best.front())) continue;
      std::pop_heap(best.begin(), best.end(), before);
      best.pop_back();
    }
    best.push_back(one);
    std::push_heap(best.begin(), best.end(), before);
  }
  std::sort_heap(best.begin(), best.end(), before);
  return best;
}

}  // namespace

TokenLogprobs logprobs_of(std::span<const float> logits, Token drawn, std::uint32_t count) {
  const double sum = log_sum(logits);
  TokenLogprobs told;
  told.logprob = static_cast<double>(number_at(logits, static_cast<std::size_t>(drawn))) - sum;
  for (const auto& one : likeliest(logits, count)) {
    told.top.push_back({one.token, static_cast<double>(one.logit) - sum});
  }
  return told;
}

}  // namespace bulkhead::engines::llama
