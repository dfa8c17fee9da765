// SPDX-License-Identifier: MIT
// A sequence as plain bytes: what Engine::snapshot() gives and Engine::restore() takes.
//
// Layout, all numbers little-endian: "BHSNAP01", u64 length of the header, the header (JSON: what it fits, number of
// tokens, perhaps the sizes of the payload's pieces), the tokens (i32 each), the engine's own payload, and the XXH3-128
// of everything before it (16 bytes).
#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::engine {

struct Facts;

// Opaque, and a plain value: the bytes may be kept in memory, written to a file or sent, and become a snapshot again.
// Whatever was done to them, restore() checks them first.
class Snapshot {
 public:
  explicit Snapshot(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] const std::vector<std::byte>& bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// What must be the same where a snapshot is made and where it is restored: names and values, in a fixed order.
using SnapshotFit = std::vector<std::pair<std::string, std::string>>;

// From the facts that decide about cells and bits. `model_digest`: of the model's bytes; its name and size are not
// enough to tell two models apart.
[[nodiscard]] SnapshotFit snapshot_fit(const Facts& facts, std::string model_digest);

// For engines: packs a sequence. `pieces`: sizes of what the payload consists of, in order; snapshots of sequences that
// begin alike begin with the same pieces or have many of them in common. Empty: the engine cannot tell.
[[nodiscard]] Snapshot pack_snapshot(const SnapshotFit& fit, std::span<const std::int32_t> tokens,
                                     std::span<const std::byte> payload, std::span<const std::uint64_t> pieces = {});

struct SnapshotContent {
  std::vector<std::int32_t> tokens;
  std::span<const std::byte> payload;  // inside the snapshot, which must outlive it
};

// For engines: checks all before anything is used. kCorrupt: damaged, cut, or no snapshot; kBadInput: it does not fit,
// and the message names the first field that differs with both values.
[[nodiscard]] Result<SnapshotContent> unpack_snapshot(const Snapshot& snapshot, const SnapshotFit& fit);

// What a snapshot says of itself, for who stores it: it was compared with no engine.
struct SnapshotOutline {
  SnapshotFit fit;
  std::vector<std::int32_t> tokens;
  std::size_t payload_begin = 0;      // bytes in front of the payload
  std::size_t payload_bytes = 0;      // the digest is all that stands behind
  std::vector<std::uint64_t> pieces;  // sizes that make up the payload; empty: not told
};

// kCorrupt: damaged, cut, or no snapshot.
[[nodiscard]] Result<SnapshotOutline> outline_of(const Snapshot& snapshot);

}  // namespace bulkhead::engine
