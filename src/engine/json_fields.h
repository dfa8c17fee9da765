// SPDX-License-Identifier: MIT
// Typed fields of an object that came from elsewhere: each is there, of its kind and inside its range, or an error says
// which is not. Short forms of JsonView (base/json.h), for documents with many fields.
#pragma once

#include "base/json.h"

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engine {

template <std::integral Number>
inline constexpr std::int64_t kHighest = sizeof(Number) < sizeof(std::int64_t) || std::signed_integral<Number>
                                             ? static_cast<std::int64_t>(std::numeric_limits<Number>::max())
                                             : std::numeric_limits<std::int64_t>::max();

template <std::integral Number>
[[nodiscard]] Result<Number> number(const JsonView& object, std::string_view key, std::int64_t low = 0,
                                    std::int64_t high = kHighest<Number>) {
  BH_TRY(const auto field, object.at(key));
  BH_TRY(const auto value, field.integer(low, high));
  return static_cast<Number>(value);
}

// At most `most_items` of them.
template <std::integral Number>
[[nodiscard]] Result<std::vector<Number>> numbers(const JsonView& object, std::string_view key, std::int64_t low,
                                                  std::int64_t high,
                                                  std::size_t most_items = std::numeric_limits<std::size_t>::max()) {
  BH_TRY(const auto field, object.at(key));
  if (field.json().size() > most_items) {
    return field.fail(std::to_string(field.json().size()) + " items, at most " + std::to_string(most_items) +
                      " were expected");
  }
  BH_TRY(const auto items, field.items());
  std::vector<Number> values;
  values.reserve(items.size());
  for (const auto& item : items) {
    BH_TRY(const auto value, item.integer(low, high));
    values.push_back(static_cast<Number>(value));
  }
  return values;
}

[[nodiscard]] Result<std::string> text(const JsonView& object, std::string_view key);
[[nodiscard]] Result<bool> flag(const JsonView& object, std::string_view key);

// 64 bits, written as up to 16 hexadecimal digits: not every language keeps such a number whole.
[[nodiscard]] Result<std::uint64_t> bits(const JsonView& field);
[[nodiscard]] Result<std::vector<std::uint64_t>> bits_list(const JsonView& object, std::string_view key);

}  // namespace bulkhead::engine
