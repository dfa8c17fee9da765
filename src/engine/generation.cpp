// SPDX-License-Identifier: MIT
#include "engine/generation.h"

#include "base/utf8.h"
#include "engine/option_bounds.h"

#include <algorithm>

namespace bulkhead::engine {

Result<void> check_options(const GenerateOptions& options) {
  BH_CHECK(check_bounds(options.sampling));
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
