// SPDX-License-Identifier: MIT
#include "vault/key.h"

#include "base/hash.h"
#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::vault {
namespace {

constexpr std::size_t kHexDigits = 64;

// Each with its length: no two lists of fields have the same bytes.
void put_field(std::string& bytes, std::string_view field) {
  bytes += fmt::format("{}:{}", field.size(), field);
}

// Values as a file holds them.
engine::SnapshotFit as_stored(engine::SnapshotFit fit) {
  for (auto& [field, value] : fit) value = to_valid_utf8(value);
  return fit;
}

}  // namespace

std::optional<HexName> HexName::from(std::string_view text) {
  const auto is_digit = [](char one) { return (one >= '0' && one <= '9') || (one >= 'a' && one <= 'f'); };
  if (text.size() != kHexDigits || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  return HexName(std::string(text));
}

HexName HexName::of(std::string_view bytes) {
  return HexName(sha256_hex(bytes));
}

ImageKey::ImageKey(std::string owner, std::string partition, std::span<const std::int32_t> tokens,
                   engine::SnapshotFit fit)
    : owner_(std::move(owner)),
      partition_(std::move(partition)),
      token_sha256_(sha256_of_tokens(tokens)),
      fit_(as_stored(std::move(fit))) {}

HexName ImageKey::identity() const {
  std::string bytes;
  for (const auto& [field, value] : fit_) {
    put_field(bytes, field);
    put_field(bytes, value);
  }
  return HexName::of(bytes);
}

HexName ImageKey::name() const {
  std::string bytes;
  for (const auto& field : {owner_, partition_, token_sha256_, identity().text()}) put_field(bytes, field);
  return HexName::of(bytes);
}

std::string difference(const engine::SnapshotFit& there, const engine::SnapshotFit& here) {
  for (const auto& [field, value] : here) {
    const auto wanted = to_valid_utf8(value);
    const auto found =
        std::find_if(there.begin(), there.end(), [&, name = &field](const auto& one) { return one.first == *name; });
    const auto said = found == there.end() ? std::string("(nothing)") : found->second;
    if (said != wanted) return fmt::format("its {} is \"{}\", here it is \"{}\"", field, said, wanted);
  }
  return {};
}

}  // namespace bulkhead::vault
