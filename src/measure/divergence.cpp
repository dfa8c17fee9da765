// SPDX-License-Identifier: MIT
#include "measure/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace bulkhead::measure {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The logarithm of the sum of exp(logit) as largest + rest: added up, a large logit would cost digits of the rest.
struct LogSum {
  double largest = 0.0;
  double rest = 0.0;

  [[nodiscard]] double log_probability(float logit) const { return (static_cast<double>(logit) - largest) - rest; }
};

Result<LogSum> log_sum(std::span<const float> logits, const char* place) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < std::numeric_limits<float>::infinity()) continue;
    return Error{ErrorCode::kBadInput, fmt::format("{} is no logit", logits[i]), fmt::format("{}[{}]", place, i), ""};
  }
  const double largest = std::ranges::max(logits);
  if (largest == -kInfinity) return Error{ErrorCode::kBadInput, "no token has a probability", place, ""};
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return LogSum{largest, std::log(sum)};
}

}  // namespace

Result<double> kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits) {
  if (p_logits.empty() || p_logits.size() != q_logits.size()) {
    return Error{
        ErrorCode::kBadInput,
        fmt::format("rows of {} and {} logits, they must be as long and not empty", p_logits.size(), q_logits.size()),
        "logits", ""};
  }
  BH_TRY(const auto p_sum, log_sum(p_logits, "p_logits"));
  BH_TRY(const auto q_sum, log_sum(q_logits, "q_logits"));
  double divergence = 0.0;
  for (std::size_t i = 0; i < p_logits.size(); ++i) {
    const double log_p = p_sum.log_probability(p_logits[i]);
    const double p = std::exp(log_p);
    if (p == 0.0) continue;
    divergence += p * (log_p - q_sum.log_probability(q_logits[i]));
  }
  return std::max(0.0, divergence);
}

}  // namespace bulkhead::measure
