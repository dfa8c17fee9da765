// SPDX-License-Identifier: MIT
// What an image in the vault is of: whose partition, which tokens exactly, of which model, held by which engine. Names
// of files are hashes of that, so no name of a person, a partition or a file can lead out of the store.
#pragma once

#include "engine/snapshot.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bulkhead::vault {

// 64 lower-case hex digits.
class HexName {
 public:
  [[nodiscard]] static std::optional<HexName> from(std::string_view text);
  // SHA-256 of `bytes`.
  [[nodiscard]] static HexName of(std::string_view bytes);

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  friend auto operator<=>(const HexName&, const HexName&) = default;

 private:
  explicit HexName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// The one key of all tiers. There is none without an owner, tokens, a model and the engine's settings.
class ImageKey {
 public:
  // `fit`: of the engine that holds the partition (engine/snapshot.h): the digest of all files of its model, the
  // engine's build, kernels, isolation and grade, and the types of its cells.
  ImageKey(std::string owner, std::string partition, std::span<const std::int32_t> tokens, engine::SnapshotFit fit);

  [[nodiscard]] const std::string& owner() const noexcept { return owner_; }
  [[nodiscard]] const std::string& partition() const noexcept { return partition_; }
  [[nodiscard]] const std::string& token_sha256() const noexcept { return token_sha256_; }
  [[nodiscard]] const engine::SnapshotFit& fit() const noexcept { return fit_; }

  [[nodiscard]] HexName owner_name() const { return HexName::of(owner_); }
  // Of the model and the engine's settings.
  [[nodiscard]] HexName identity() const;
  // Of all of it.
  [[nodiscard]] HexName name() const;

 private:
  std::string owner_;
  std::string partition_;
  std::string token_sha256_;
  engine::SnapshotFit fit_;
};

// Why cells that were made with `there` do not fit an engine that has `here`: the first field that differs, with both
// values. Empty: they fit.
[[nodiscard]] std::string difference(const engine::SnapshotFit& there, const engine::SnapshotFit& here);

}  // namespace bulkhead::vault
