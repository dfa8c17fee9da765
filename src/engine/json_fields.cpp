// SPDX-License-Identifier: MIT
#include "engine/json_fields.h"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

namespace bulkhead::engine {

Result<std::string> text(const JsonView& object, std::string_view key) {
  BH_TRY(const auto field, object.at(key));
  return field.string();
}

Result<bool> flag(const JsonView& object, std::string_view key) {
  BH_TRY(const auto field, object.at(key));
  return field.boolean();
}

Result<std::uint64_t> bits(const JsonView& field) {
  BH_TRY(const auto word, field.string());
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, 16);
  if (error != std::errc() || end != word.data() + word.size()) {
    return field.fail(fmt::format("\"{}\" is not a number of up to 16 hexadecimal digits", word));
  }
  return value;
}

Result<std::vector<std::uint64_t>> bits_list(const JsonView& object, std::string_view key) {
  BH_TRY(const auto field, object.at(key));
  BH_TRY(const auto items, field.items());
  std::vector<std::uint64_t> values;
  values.reserve(items.size());
  for (const auto& item : items) {
    BH_TRY(const auto value, bits(item));
    values.push_back(value);
  }
  return values;
}

}  // namespace bulkhead::engine
