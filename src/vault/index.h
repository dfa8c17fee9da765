// SPDX-License-Identifier: MIT
// Index: which images and pieces a vault has, who names which piece, and what is to go first where room is short. All
// of it but pins and the order of use can be read from the files again; where it is missing, damaged or of another
// version, it is. What it says is checked as a file's content is: names are hashes or are not used.
//
// Order of going (GreedyDual): an image is worth the tokens that must be computed without it, for each KiB that it
// takes, above the level at which it was last used; the level is the worth of what went last. No clock is asked.
//
// Thread rule: one thread at a time.
#pragma once

#include "base/result.h"
#include "database/database.h"
#include "vault/image.h"
#include "vault/key.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::vault {

struct IndexedImage {
  HexName owner;
  HexName name;
  std::int64_t pinned_until = 0;  // seconds since 1970; 0: it is not
};

class Index {
 public:
  // Opens `path`, or makes it anew where it is none of this version.
  [[nodiscard]] static Result<Index> open(const std::filesystem::path& path);

  // An image whose file has `file_bytes`, in place of one of the same name.
  [[nodiscard]] Result<void> add(const StoredImage& image, std::uint64_t file_bytes);
  [[nodiscard]] Result<void> remove(const HexName& owner, const HexName& name);
  // It was used now.
  [[nodiscard]] Result<void> touch(const HexName& owner, const HexName& name);
  [[nodiscard]] Result<void> pin(const HexName& owner, const HexName& name, std::int64_t until);

  [[nodiscard]] Result<std::vector<IndexedImage>> images();
  // Other images of this partition, model and settings that nobody has pinned.
  [[nodiscard]] Result<std::vector<HexName>> others_of_partition(const ImageKey& key);
  // Pieces that this image names and no other.
  [[nodiscard]] Result<std::vector<HexName>> pieces_of_it_alone(const HexName& owner, const HexName& name);
  [[nodiscard]] Result<bool> names_piece(const HexName& owner, const HexName& piece);

  // Of all files, or of those of one owner.
  [[nodiscard]] Result<std::uint64_t> bytes(const std::optional<HexName>& owner = {});
  // The image that goes first, of all or of one owner: none that is pinned at `now`.
  [[nodiscard]] Result<std::optional<IndexedImage>> first_to_go(const std::optional<HexName>& owner, std::int64_t now);
  // It goes: from now on what is used is worth more than it was.
  [[nodiscard]] Result<void> raise_level(const HexName& owner, const HexName& name);

 private:
  explicit Index(database::Database database) : database_(std::move(database)) {}
  [[nodiscard]] Result<void> make_tables();

  database::Database database_;
};

}  // namespace bulkhead::vault
