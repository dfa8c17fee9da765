// SPDX-License-Identifier: MIT
// The vault: partitions on disk, for when they come back. What it gives back is bit for bit what was put in, or it says
// why not, and the partition is computed from its tokens (docs/vault.md).
//
// An image is whole or not there: pieces are written and synced first, then the image that names them. Pieces are
// shared between the images of one owner and never between owners. Where the budget is short what costs least to
// compute again for its bytes goes first, and an image that does not fit even so is refused before anything is written.
//
// Thread rule: one thread at a time. One writing process at a time: the folder is locked until the object goes.
#pragma once

#include "base/result.h"
#include "engine/snapshot.h"
#include "partition/image.h"
#include "store/file_lock.h"
#include "vault/index.h"
#include "vault/shelf.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::engine {
class Engine;
}

namespace bulkhead::vault {

struct VaultOptions {
  std::filesystem::path folder;
  std::uint64_t budget_bytes = 0;  // of all files; 0: no limit
  std::uint64_t owner_bytes = 0;   // of those of one owner; 0: no limit
  // Seconds since 1970, for when images were saved and for pins; empty: the system's clock.
  std::function<std::int64_t()> clock = {};
};

struct SavedImage {
  HexName name;
  std::uint64_t written_bytes = 0;
  std::uint32_t pieces = 0;         // of which ...
  std::uint32_t shared_pieces = 0;  // ... were there already
  std::uint32_t evicted = 0;        // images that went for it
};

struct LoadedImage {
  partition::PartitionImage partition;  // with cells, where they fit and are whole
  std::string why_no_cells;             // else why
};

struct CollectedGarbage {
  std::uint64_t pieces = 0;      // that no image named
  std::uint64_t aside = 0;       // begun by a writer that was killed
  std::uint64_t evicted = 0;     // images above the budget
  std::uint64_t unreadable = 0;  // images that cannot be read; they stay
  std::uint64_t bytes = 0;       // of all files that the index knows
};

class Vault {
 public:
  // Makes the folder where there is none, takes the lock, and brings the index in line with the files. kResource:
  // another process has it, or it is not writable; else as Shelf::create().
  [[nodiscard]] static Result<Vault> open(VaultOptions options);

  // Puts a partition of `owner` in; an older image of the same partition with the same model and settings goes once the
  // new one is there. kUsage: it has no snapshot, or one of other tokens; kResource: beyond the budget, or the disk is
  // full: what was there is there.
  [[nodiscard]] Result<SavedImage> save(const std::string& owner, const partition::PartitionImage& partition);

  // The image of exactly this key; its cells are those of key.fit(). Errors as of Shelf::image().
  [[nodiscard]] Result<LoadedImage> load(const ImageKey& key);
  // The image `name` of `owner`, for an engine of which a snapshot would have the fit `here`.
  [[nodiscard]] Result<LoadedImage> load(const HexName& owner, const HexName& name, const engine::SnapshotFit& here);

  // It stays for so many seconds, whatever the budget says; 0: no longer. kBadInput: it is not there.
  [[nodiscard]] Result<void> pin(const HexName& owner, const HexName& name, std::uint32_t seconds);
  // kBadInput: it is not there.
  [[nodiscard]] Result<void> remove(const HexName& owner, const HexName& name);
  // Removes what nobody names and what is above the budget.
  [[nodiscard]] Result<CollectedGarbage> collect_garbage();

  // Puts the pieces and the image of an export in. Called by transfer.h.
  [[nodiscard]] Result<SavedImage> adopt(const StoredImage& image, const std::vector<std::string>& pieces);

  [[nodiscard]] const Shelf& shelf() const noexcept { return shelf_; }
  [[nodiscard]] Result<std::uint64_t> bytes() { return index_.bytes(); }
  [[nodiscard]] Result<std::vector<IndexedImage>> images() { return index_.images(); }

 private:
  using Bytes = std::span<const std::byte>;
  Vault(VaultOptions options, Shelf shelf, store::FileLock lock, Index index)
      : options_(std::move(options)), shelf_(std::move(shelf)), lock_(std::move(lock)), index_(std::move(index)) {}
  [[nodiscard]] std::int64_t now() const;
  // How many pieces of nobody went.
  [[nodiscard]] Result<std::uint64_t> reconcile();
  [[nodiscard]] Result<std::uint64_t> drop_stray_pieces();
  [[nodiscard]] Result<SavedImage> put(const StoredImage& image, const std::vector<Bytes>& pieces);
  [[nodiscard]] Result<void> write_pieces(const StoredImage& image, const std::vector<Bytes>& pieces, SavedImage& saved,
                                          std::vector<HexName>& written);
  // Of all or of one owner, until `more()` bytes have room beside the others; how many images went.
  [[nodiscard]] Result<std::uint32_t> make_room(const std::optional<HexName>& owner, std::uint64_t limit,
                                                const std::function<std::uint64_t()>& more);
  void undo(const ImageKey& key, const std::vector<HexName>& written);
  [[nodiscard]] Result<void> take_out(const HexName& owner, const HexName& name);

  VaultOptions options_;
  Shelf shelf_;
  store::FileLock lock_;
  Index index_;
};

// The snapshot that the pieces of `image` make up, for an engine that has the fit `here`. kBadInput: it does not fit;
// kCorrupt: a piece is missing or damaged, or it is larger than one of these tokens can be.
[[nodiscard]] Result<engine::Snapshot> cells_of(const Shelf& shelf, const StoredImage& image,
                                                const engine::SnapshotFit& here);

// All of an image: its file, every piece with both hashes, and the snapshot that they make up. Errors as of
// Shelf::image() and Shelf::piece().
[[nodiscard]] Result<void> verify(const Shelf& shelf, const HexName& owner, const HexName& name);

// What an engine's snapshots fit: it makes one of an empty sequence. kUnsupported where it makes none.
[[nodiscard]] Result<engine::SnapshotFit> fit_of(engine::Engine& engine);

}  // namespace bulkhead::vault
