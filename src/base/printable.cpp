// SPDX-License-Identifier: MIT
#include "base/printable.h"

#include "base/utf8.h"

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <optional>

namespace bulkhead {
namespace {

constexpr unsigned kDelete = 0x7F;

struct Steering {
  unsigned code;
  std::size_t bytes;
};

// The character at the start of `text`, if it is one that steers.
std::optional<Steering> steering_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(0);
  if (first < 0x20 || first == kDelete) return Steering{first, 1};
  if (first == 0xC2 && byte(1) >= 0x80 && byte(1) <= 0x9F) return Steering{byte(1), 2};  // C1
  const auto three = [&] { return Steering{(first & 0xFU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU), 3}; };
  if (first == 0xE2 && byte(1) == 0x80 && byte(2) >= 0xA8 && byte(2) <= 0xAE) return three();  // U+2028 to U+202E
  if (first == 0xE2 && byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9) return three();  // U+2066 to 2069
  if (first == 0xEF && byte(1) == 0xBB && byte(2) == 0xBF) return three();                     // U+FEFF
  return std::nullopt;
}

}  // namespace

std::string printable(std::string_view text, LineBreaks line_breaks) {
  std::string shown;
  shown.reserve(text.size());
  auto invalid = first_invalid_utf8(text);
  for (std::size_t i = 0; i < text.size();) {
    if (invalid && i == *invalid) {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i++]));
      invalid = first_invalid_utf8(text.substr(i));
      if (invalid) *invalid += i;
      continue;
    }
    const bool stays = text[i] == '\t' || (text[i] == '\n' && line_breaks == LineBreaks::kKeep);
    const auto found = stays ? std::nullopt : steering_at(text.substr(i));
    if (found) {
      shown += text[i] == '\n' ? std::string("\\n") : fmt::format("\\u{:04x}", found->code);
    } else {
      shown += text[i];
    }
    i += found ? found->bytes : 1;
  }
  return shown;
}

std::string escape_steering(std::string json) {
  std::string escaped;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const auto found = json[i] == '\n' ? std::nullopt : steering_at(std::string_view(json).substr(i));
    if (!found) continue;
    escaped.append(json, copied, i - copied);
    fmt::format_to(std::back_inserter(escaped), "\\u{:04x}", found->code);
    i += found->bytes - 1;
    copied = i + 1;
  }
  if (copied == 0) return json;
  return escaped.append(json, copied);
}

}  // namespace bulkhead
