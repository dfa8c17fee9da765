// SPDX-License-Identifier: MIT
// Shelf: the files of a vault, without any bookkeeping.
//
//   FOLDER/bulkhead-vault                    says that this is a vault, and of which version
//   FOLDER/lock                              held by the one writer
//   FOLDER/index.sqlite                      what could be read from the files (index.h)
//   FOLDER/aside/                            what is being written
//   FOLDER/owners/OWNER/images/NAME          one image each (image.h)
//   FOLDER/owners/OWNER/pieces/NAME          one piece each
//
// OWNER and NAME are HexNames. Whatever else lies there is neither read nor removed; what lies under such a name is
// believed nothing: no link is followed, no file is read beyond what it may have.
//
// Thread rule: any thread may read; one thread of one process writes (vault.h holds the lock).
#pragma once

#include "base/result.h"
#include "vault/image.h"
#include "vault/key.h"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace bulkhead::vault {

// Bytes in front of those of a piece in its file.
inline constexpr std::uint64_t kPieceHeaderBytes = 16;

enum class Kind { kImages, kPieces };

class Shelf {
 public:
  // kBadInput: there is no vault; kResource: something other than a folder lies there; kCorrupt: a vault of another
  // version.
  [[nodiscard]] static Result<Shelf> open(const std::filesystem::path& folder);
  // The same, made where the folder is missing or empty. kUsage: it holds something else.
  [[nodiscard]] static Result<Shelf> create(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

  // Those that have a folder here, by name; none that is a link, or has one in place of a folder.
  [[nodiscard]] Result<std::vector<HexName>> owners() const;
  // All names that a file of this kind has, whatever lies there.
  [[nodiscard]] Result<std::vector<HexName>> names(const HexName& owner, Kind kind) const;

  // kBadInput: there is none, or it is of a newer version; kCorrupt: damaged, or another's: its books name another
  // owner, or its name is not that of its key; kResource: no plain file, or cannot be read.
  [[nodiscard]] Result<StoredImage> image(const HexName& owner, const HexName& name) const;
  [[nodiscard]] Result<std::string> image_file(const HexName& owner, const HexName& name) const;
  // The bytes of a piece. Errors as of image(). `thoroughly`: its SHA-256 is compared too, not its XXH3 alone.
  [[nodiscard]] Result<std::string> piece(const HexName& owner, const Piece& piece, bool thoroughly = false) const;
  // Whether a file of the size of this piece lies there.
  [[nodiscard]] bool has_size(const HexName& owner, const Piece& piece) const;

  // For the writer. What was written is there after sync(), also after a power cut. kResource: disk full or not
  // writable; nothing is there then that was not before.
  [[nodiscard]] Result<void> write_image(const HexName& owner, const HexName& name, std::string_view bytes);
  [[nodiscard]] Result<void> write_piece(const HexName& owner, const Piece& piece, std::span<const std::byte> bytes);
  void sync(const HexName& owner, Kind kind) const;
  // No error where there is none.
  [[nodiscard]] Result<void> remove(const HexName& owner, Kind kind, const HexName& name);
  // Removes what a killed writer had begun. How many files.
  [[nodiscard]] std::uint64_t clear_aside();

 private:
  explicit Shelf(std::filesystem::path folder) : folder_(std::move(folder)) {}
  [[nodiscard]] Result<std::filesystem::path> place_of(const HexName& owner, Kind kind) const;
  [[nodiscard]] Result<std::filesystem::path> make_place(const HexName& owner, Kind kind) const;
  [[nodiscard]] Result<void> put(const HexName& owner, Kind kind, const HexName& name,
                                 std::span<const std::string_view> parts);

  std::filesystem::path folder_;
};

}  // namespace bulkhead::vault
