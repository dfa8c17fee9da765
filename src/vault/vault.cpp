// SPDX-License-Identifier: MIT
#include "vault/vault.h"

#include "base/hash.h"
#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

namespace bulkhead::vault {
namespace {

std::vector<std::byte> copy_of(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Error no_image(const HexName& name) {
  return {ErrorCode::kBadInput, "there is no such image", name.text(), "see bulkhead cache ls"};
}

// What is missing of an image that takes `image_bytes` itself: each piece once.
std::uint64_t missing_bytes(const Shelf& shelf, const StoredImage& image, std::uint64_t image_bytes) {
  const auto owner = image.key.owner_name();
  std::set<HexName> seen;
  auto bytes = image_bytes;
  for (const auto& piece : image.pieces) {
    if (seen.insert(piece.name).second && !shelf.has_size(owner, piece)) bytes += piece.bytes + kPieceHeaderBytes;
  }
  return bytes;
}

std::uint64_t all_bytes(const StoredImage& image, std::uint64_t image_bytes) {
  std::set<HexName> seen;
  auto bytes = image_bytes;
  for (const auto& piece : image.pieces) {
    if (seen.insert(piece.name).second) bytes += piece.bytes + kPieceHeaderBytes;
  }
  return bytes;
}

Error no_room(std::uint64_t bytes, std::uint64_t limit) {
  return {ErrorCode::kResource,
          fmt::format("an image of {} bytes has no room beside what is pinned, in a budget of {}", bytes, limit),
          {},
          "allow more (--cache-disk)"};
}

Result<StoredImage> stored_image(const std::string& owner, const partition::PartitionImage& partition,
                                 const SplitSnapshot& parts, std::int64_t now) {
  if (parts.tokens != partition.ledger.tokens.tokens) {
    return Error{ErrorCode::kUsage, "the snapshot is one of other tokens than the ledger's", partition.name, {}};
  }
  StoredImage image{ImageKey(owner, partition.name, parts.tokens, parts.fit),
                    std::max<std::int64_t>(now, 0),
                    {partition.name, partition.ledger, partition.surplus, partition.finished_text, {}},
                    copy_of(parts.head),
                    copy_of(parts.tail)};
  for (const auto bytes : parts.pieces) {
    image.pieces.push_back({HexName::of(as_text(bytes)), xxh3_64(bytes), bytes.size()});
  }
  return image;
}

bool is_readable_later(const Error& error) {
  return error.code != ErrorCode::kCorrupt;
}

}  // namespace

Result<Vault> Vault::open(VaultOptions options) {
  BH_TRY(auto shelf, Shelf::create(options.folder));
  BH_TRY(auto lock, store::FileLock::try_acquire(options.folder / "lock"));
  BH_TRY(auto index, Index::open(options.folder / "index.sqlite"));
  Vault vault(std::move(options), std::move(shelf), std::move(lock), std::move(index));
  static_cast<void>(vault.shelf_.clear_aside());
  BH_CHECK(vault.reconcile());
  return vault;
}

std::int64_t Vault::now() const {
  if (options_.clock) return options_.clock();
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

// Names alone are compared: an image that the index knows is read when it is asked for.
Result<std::uint64_t> Vault::reconcile() {
  BH_TRY(const auto known, index_.images());
  std::set<std::pair<HexName, HexName>> there;
  BH_TRY(const auto owners, shelf_.owners());
  for (const auto& owner : owners) {
    BH_TRY(const auto names, shelf_.names(owner, Kind::kImages));
    for (const auto& name : names) there.emplace(owner, name);
  }
  for (const auto& image : known) {
    if (there.erase({image.owner, image.name}) == 0) BH_CHECK(index_.remove(image.owner, image.name));
  }
  for (const auto& [owner, name] : there) {
    const auto file = shelf_.image_file(owner, name);
    const auto image = shelf_.image(owner, name);
    if (file.ok() && image.ok()) BH_CHECK(index_.add(image.value(), file->size()));
  }
  return drop_stray_pieces();
}

// Where an image cannot be read now but may be later, nobody knows which pieces it names: they stay.
Result<std::uint64_t> Vault::drop_stray_pieces() {
  BH_TRY(const auto known, index_.images());
  std::set<std::pair<HexName, HexName>> indexed;
  for (const auto& image : known) indexed.emplace(image.owner, image.name);
  std::uint64_t dropped = 0;
  BH_TRY(const auto owners, shelf_.owners());
  for (const auto& owner : owners) {
    BH_TRY(const auto images, shelf_.names(owner, Kind::kImages));
    const bool unknown = std::any_of(images.begin(), images.end(), [&](const HexName& name) {
      if (indexed.contains({owner, name})) return false;
      const auto image = shelf_.image(owner, name);
      return !image.ok() && is_readable_later(image.error());
    });
    if (unknown) continue;
    BH_TRY(const auto pieces, shelf_.names(owner, Kind::kPieces));
    for (const auto& piece : pieces) {
      BH_TRY(const bool named, index_.names_piece(owner, piece));
      if (named) continue;
      BH_CHECK(shelf_.remove(owner, Kind::kPieces, piece));
      ++dropped;
    }
  }
  return dropped;
}

// The image goes first: what is left behind then is named by nobody.
Result<void> Vault::take_out(const HexName& owner, const HexName& name) {
  BH_TRY(const auto pieces, index_.pieces_of_it_alone(owner, name));
  BH_CHECK(shelf_.remove(owner, Kind::kImages, name));
  shelf_.sync(owner, Kind::kImages);
  for (const auto& piece : pieces) BH_CHECK(shelf_.remove(owner, Kind::kPieces, piece));
  return index_.remove(owner, name);
}

Result<std::uint32_t> Vault::make_room(const std::optional<HexName>& owner, std::uint64_t limit,
                                       const std::function<std::uint64_t()>& more) {
  std::uint32_t evicted = 0;
  while (limit > 0) {
    BH_TRY(const auto taken, index_.bytes(owner));
    const auto needed = more();
    if (taken + needed <= limit) break;
    BH_TRY(const auto first, index_.first_to_go(owner, now()));
    if (!first) return no_room(needed, limit);
    BH_CHECK(index_.raise_level(first->owner, first->name));
    BH_CHECK(take_out(first->owner, first->name));
    ++evicted;
  }
  return evicted;
}

Result<void> Vault::write_pieces(const StoredImage& image, const std::vector<Bytes>& pieces, SavedImage& saved,
                                 std::vector<HexName>& written) {
  const auto owner = image.key.owner_name();
  std::set<HexName> seen;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto& piece = image.pieces[i];
    if (!seen.insert(piece.name).second) continue;
    ++saved.pieces;
    // One that was damaged is written anew.
    if (shelf_.has_size(owner, piece) && shelf_.piece(owner, piece).ok()) {
      ++saved.shared_pieces;
      continue;
    }
    BH_CHECK(shelf_.write_piece(owner, piece, pieces[i]));
    written.push_back(piece.name);
    saved.written_bytes += piece.bytes + kPieceHeaderBytes;
  }
  shelf_.sync(owner, Kind::kPieces);
  return {};
}

Result<SavedImage> Vault::put(const StoredImage& image, const std::vector<Bytes>& pieces) {
  const auto owner = image.key.owner_name();
  SavedImage saved{.name = image.key.name()};
  const auto bytes = image_bytes(image);
  if (bytes.size() > kMostImageBytes) {
    return Error{ErrorCode::kResource, "the partition has too many tokens for an image", image.key.partition(), {}};
  }
  for (const auto limit : {options_.budget_bytes, options_.owner_bytes}) {
    const auto all = all_bytes(image, bytes.size());
    if (limit > 0 && all > limit) return no_room(all, limit);
  }
  const auto more = [&] { return missing_bytes(shelf_, image, bytes.size()); };
  BH_TRY(const auto of_owner, make_room(owner, options_.owner_bytes, more));
  BH_TRY(const auto of_all, make_room(std::nullopt, options_.budget_bytes, more));
  saved.evicted = of_owner + of_all;
  std::vector<HexName> written;
  auto done = write_pieces(image, pieces, saved, written);
  if (done.ok()) done = index_.add(image, bytes.size());
  if (done.ok()) done = shelf_.write_image(owner, saved.name, bytes);
  if (!done.ok()) {
    undo(image.key, written);
    return done.error();
  }
  saved.written_bytes += bytes.size();
  shelf_.sync(owner, Kind::kImages);
  BH_TRY(const auto older, index_.others_of_partition(image.key));
  for (const auto& name : older) BH_CHECK(take_out(owner, name));
  return saved;
}

// An image of the same key may be there from before, and stays.
void Vault::undo(const ImageKey& key, const std::vector<HexName>& written) {
  const auto owner = key.owner_name();
  const auto file = shelf_.image_file(owner, key.name());
  const auto before = shelf_.image(owner, key.name());
  if (file.ok() && before.ok()) {
    static_cast<void>(index_.add(before.value(), file->size()));
  } else {
    static_cast<void>(index_.remove(owner, key.name()));
  }
  for (const auto& piece : written) {
    const auto named = index_.names_piece(owner, piece);
    if (named.ok() && !named.value()) static_cast<void>(shelf_.remove(owner, Kind::kPieces, piece));
  }
}

Result<SavedImage> Vault::save(const std::string& owner, const partition::PartitionImage& partition) {
  if (!partition.cells) return Error{ErrorCode::kUsage, "there is no snapshot of the partition", partition.name, {}};
  BH_CHECK(partition::check_books(partition));
  BH_TRY(const auto parts, split(*partition.cells));
  BH_TRY(const auto image, stored_image(owner, partition, parts, now()));
  if (image.snapshot_bytes() - image.head.size() > most_snapshot_bytes(parts.fit, parts.tokens.size()) ||
      repeats_too_much(image)) {
    return Error{ErrorCode::kUnsupported, "the engine's snapshot is not what its cells can be", partition.name, {}};
  }
  return put(image, parts.pieces);
}

Result<SavedImage> Vault::adopt(const StoredImage& image, const std::vector<std::string>& pieces) {
  if (pieces.size() != image.pieces.size()) {
    return Error{ErrorCode::kUsage, "an image with other pieces than it names", image.key.partition(), {}};
  }
  std::vector<Bytes> bytes;
  for (const auto& piece : pieces) bytes.push_back(std::as_bytes(std::span(piece)));
  return put(image, bytes);
}

Result<LoadedImage> Vault::load(const ImageKey& key) {
  return load(key.owner_name(), key.name(), key.fit());
}

Result<LoadedImage> Vault::load(const HexName& owner, const HexName& name, const engine::SnapshotFit& here) {
  BH_TRY(auto image, shelf_.image(owner, name));
  static_cast<void>(index_.touch(owner, name));  // what is worth keeping is no reason to give nothing
  LoadedImage loaded;
  auto cells = cells_of(shelf_, image, here);
  if (cells.ok()) {
    image.partition.cells = std::move(cells).value();
  } else {
    loaded.why_no_cells = cells.error().message;
  }
  loaded.partition = std::move(image.partition);
  return loaded;
}

Result<void> Vault::pin(const HexName& owner, const HexName& name, std::uint32_t seconds) {
  BH_CHECK(shelf_.image(owner, name));
  return index_.pin(owner, name, seconds == 0 ? 0 : now() + seconds);
}

Result<void> Vault::remove(const HexName& owner, const HexName& name) {
  BH_TRY(const auto names, shelf_.names(owner, Kind::kImages));
  if (std::find(names.begin(), names.end(), name) == names.end()) return no_image(name);
  BH_CHECK(take_out(owner, name));
  BH_CHECK(drop_stray_pieces());
  return {};
}

Result<CollectedGarbage> Vault::collect_garbage() {
  CollectedGarbage collected;
  collected.aside = shelf_.clear_aside();
  BH_TRY(collected.pieces, reconcile());
  const auto nothing = [] { return std::uint64_t{0}; };
  BH_TRY(const auto owners, shelf_.owners());
  for (const auto& owner : owners) {
    BH_TRY(const auto evicted, make_room(owner, options_.owner_bytes, nothing));
    collected.evicted += evicted;
  }
  BH_TRY(const auto evicted, make_room(std::nullopt, options_.budget_bytes, nothing));
  collected.evicted += evicted;
  BH_TRY(const auto known, index_.images());
  for (const auto& owner : owners) {
    BH_TRY(const auto names, shelf_.names(owner, Kind::kImages));
    collected.unreadable += names.size();
  }
  collected.unreadable -= std::min<std::uint64_t>(collected.unreadable, known.size());
  BH_TRY(collected.bytes, index_.bytes());
  return collected;
}

Result<engine::Snapshot> cells_of(const Shelf& shelf, const StoredImage& image, const engine::SnapshotFit& here) {
  if (const auto differs = difference(image.key.fit(), here); !differs.empty()) {
    return Error{ErrorCode::kBadInput, "the cells do not fit: " + differs, image.key.partition(), {}};
  }
  const auto bytes = image.snapshot_bytes();
  const auto most = most_snapshot_bytes(here, image.partition.ledger.tokens.size());
  if (bytes - image.head.size() > most) {
    return Error{ErrorCode::kCorrupt,
                 fmt::format("cells of {} bytes are more than these tokens have", bytes),
                 image.key.partition(),
                 {}};
  }
  const auto owner = image.key.owner_name();
  for (const auto& piece : image.pieces) {
    if (!shelf.has_size(owner, piece)) {
      return Error{ErrorCode::kCorrupt, "a piece of the cells is missing or cut", piece.name.text(), {}};
    }
  }
  std::vector<std::byte> all;
  all.reserve(bytes);
  all.insert(all.end(), image.head.begin(), image.head.end());
  for (const auto& piece : image.pieces) {
    BH_TRY(const auto part, shelf.piece(owner, piece));
    const auto part_bytes = std::as_bytes(std::span(part));
    all.insert(all.end(), part_bytes.begin(), part_bytes.end());
  }
  all.insert(all.end(), image.tail.begin(), image.tail.end());
  return engine::Snapshot(std::move(all));
}

Result<void> verify(const Shelf& shelf, const HexName& owner, const HexName& name) {
  BH_TRY(const auto image, shelf.image(owner, name));
  for (const auto& piece : image.pieces) BH_CHECK(shelf.piece(owner, piece, true));
  BH_TRY(const auto snapshot, cells_of(shelf, image, image.key.fit()));
  return check_cells(image, snapshot);
}

Result<engine::SnapshotFit> fit_of(engine::Engine& engine) {
  BH_TRY(const auto empty, engine.open({.capacity_tokens = 1}));
  const auto snapshot = engine.snapshot(empty);
  BH_CHECK(engine.close(empty));
  if (!snapshot.ok()) return snapshot.error();
  BH_TRY(auto outline, engine::outline_of(snapshot.value()));
  return std::move(outline.fit);
}

}  // namespace bulkhead::vault
