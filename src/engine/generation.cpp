// SPDX-License-Identifier: MIT
#include "engine/generation.h"

#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bulkhead::engine {
namespace {

Error out_of_range(std::string_view field, double value, std::string_view range) {
  return {ErrorCode::kUsage, fmt::format("{} is {}, it must be {}", field, value, range), std::string(field), {}};
}

}  // namespace

Result<void> check_options(const GenerateOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  if (!std::isfinite(sampling.temperature)) return out_of_range("temperature", sampling.temperature, "a number");
  if (sampling.top_k < 0) return out_of_range("top_k", sampling.top_k, "0 (off) or more");
  if (!(sampling.top_p > 0.0F && sampling.top_p <= 1.0F)) {
    return out_of_range("top_p", sampling.top_p, "above 0 and at most 1 (off)");
  }
  if (!(sampling.min_p >= 0.0F && sampling.min_p <= 1.0F)) {
    return out_of_range("min_p", sampling.min_p, "between 0 (off) and 1");
  }
  if (!(sampling.repeat_penalty > 0.0F && std::isfinite(sampling.repeat_penalty))) {
    return out_of_range("repeat_penalty", sampling.repeat_penalty, "above 0, 1 is off");
  }
  if (sampling.repeat_last_n < 0) return out_of_range("repeat_last_n", sampling.repeat_last_n, "0 (off) or more");
  if (std::any_of(options.stop.begin(), options.stop.end(), [](const auto& stop) { return stop.empty(); })) {
    return Error{ErrorCode::kUsage, "a stop string is empty", "stop", "leave it out"};
  }
  return {};
}

GeneratedText::GeneratedText(const std::vector<std::string>& stops) : stops_(stops) {
  for (const auto& stop : stops_) longest_stop_ = std::max(longest_stop_, stop.size());
}

bool GeneratedText::append(std::string_view piece) {
  // A stop string that ends in this piece begins at most longest_stop_ - 1 bytes before it.
  const std::size_t begin = bytes_.size() < longest_stop_ ? 0 : bytes_.size() - longest_stop_ + 1;
  bytes_ += piece;
  std::size_t first = std::string::npos;
  for (const auto& stop : stops_) first = std::min(first, bytes_.find(stop, begin));
  if (first == std::string::npos) return false;
  bytes_.resize(first);
  return true;
}

std::string GeneratedText::text() const {
  const std::string_view whole(bytes_);
  return to_valid_utf8(whole.substr(0, whole.size() - unfinished_utf8_tail(whole)));
}

}  // namespace bulkhead::engine
