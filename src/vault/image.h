// SPDX-License-Identifier: MIT
// One image file: a partition's books and tokens, and of which pieces its cells consist. docs/vault.md describes it
// byte by byte. A file is what anybody may have written: sizes are compared with each other and with what is there
// before anything is allocated.
#pragma once

#include "base/result.h"
#include "engine/snapshot.h"
#include "partition/image.h"
#include "vault/key.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::vault {

inline constexpr std::uint32_t kImageVersion = 1;
// No image file is larger: some 16 million tokens with their pieces.
inline constexpr std::uint64_t kMostImageBytes = std::uint64_t{512} << 20U;
// A larger piece of a snapshot is cut.
inline constexpr std::uint64_t kMostPieceBytes = std::uint64_t{4} << 20U;

// A part of a snapshot that lies in a file of its own, which several images of one owner may name.
struct Piece {
  HexName name;            // SHA-256 of its bytes
  std::uint64_t hash = 0;  // XXH3-64 of them
  std::uint64_t bytes = 0;
};

struct StoredImage {
  ImageKey key;
  std::int64_t saved_at = 0;            // seconds since 1970
  partition::PartitionImage partition;  // without cells
  std::vector<std::byte> head;          // of the snapshot, in front of its payload
  std::vector<std::byte> tail;          // behind it: its digest
  std::vector<Piece> pieces;            // the payload

  // Of the whole snapshot, which must lie in memory before an engine takes it.
  [[nodiscard]] std::uint64_t snapshot_bytes() const;
};

// Parts of a snapshot as they lie in files; they point into it.
struct SplitSnapshot {
  engine::SnapshotFit fit;
  std::vector<std::int32_t> tokens;
  std::span<const std::byte> head;
  std::span<const std::byte> tail;
  std::vector<std::span<const std::byte>> pieces;
};

// kCorrupt: it is no snapshot.
[[nodiscard]] Result<SplitSnapshot> split(const engine::Snapshot& snapshot);

// The bytes of an image file.
[[nodiscard]] std::string image_bytes(const StoredImage& image);

// kCorrupt: damaged, cut, or no image; kBadInput: of a newer version. The books contradict neither themselves nor the
// tokens. What the cells are is the engine's to say.
[[nodiscard]] Result<StoredImage> image_from(std::string_view bytes);

// Whether it names the same pieces so often that its snapshot is more than four times what lies in files: a small file
// must not ask for much memory.
[[nodiscard]] bool repeats_too_much(const StoredImage& image);

// kCorrupt: the snapshot is one of other tokens, or another engine, than the image says.
[[nodiscard]] Result<void> check_cells(const StoredImage& image, const engine::Snapshot& snapshot);

// Most bytes that a snapshot of so many tokens may have where `fit` is what the engine has: more is no snapshot of it,
// and is not read into memory.
[[nodiscard]] std::uint64_t most_snapshot_bytes(const engine::SnapshotFit& fit, std::size_t tokens);

}  // namespace bulkhead::vault
