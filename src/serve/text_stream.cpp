// SPDX-License-Identifier: MIT
#include "serve/text_stream.h"

#include "base/utf8.h"

#include <algorithm>

namespace bulkhead::serve {
namespace {

// Where a stop string begins that is there, or may still come.
std::size_t safe_length(std::string_view text, const std::vector<std::string>& stops) {
  auto safe = text.size();
  for (const auto& stop : stops) {
    if (const auto at = text.find(stop); at != std::string_view::npos) safe = std::min(safe, at);
    for (auto length = std::min(stop.size() - 1, text.size()); length > 0; --length) {
      if (!text.ends_with(std::string_view(stop).substr(0, length))) continue;
      safe = std::min(safe, text.size() - length);
      break;
    }
  }
  return safe;
}

}  // namespace

TextStream::TextStream(const std::vector<std::string>& stops) : stops_(stops) {}

std::string TextStream::append(std::string_view piece) {
  bytes_ += piece;
  auto fresh = std::string_view(bytes_).substr(sent_);
  fresh = fresh.substr(0, safe_length(fresh, stops_));
  // A byte that is no UTF-8 may be the beginning of a character, or come out as another one.
  if (const auto at = first_invalid_utf8(fresh)) fresh = fresh.substr(0, *at);
  sent_ += fresh.size();
  return std::string(fresh);
}

std::string TextStream::finish(std::string_view text) const {
  return std::string(text.substr(std::min(sent_, text.size())));
}

}  // namespace bulkhead::serve
