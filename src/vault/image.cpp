// SPDX-License-Identifier: MIT
#include "vault/image.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "vault/books.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

namespace bulkhead::vault {
namespace {

constexpr std::string_view kImageMagic = "BHIMAGE1";
constexpr std::size_t kFixedBytes = 64;
constexpr std::size_t kImageDigestBytes = 16;
constexpr std::size_t kPieceEntryBytes = 48;
constexpr std::uint32_t kNoFlags = 0;

Error damaged_image(std::string what) {
  return {
      ErrorCode::kCorrupt, "the image is damaged: " + std::move(what), {}, "compute the partition from its history"};
}

// The fixed part at the beginning of the file.
struct Sizes {
  std::uint64_t books = 0;
  std::uint64_t tokens = 0;
  std::uint64_t head = 0;
  std::uint64_t tail = 0;
  std::uint64_t pieces = 0;

  // Of the whole file; nullopt: one of them alone is more than a file may have.
  [[nodiscard]] std::optional<std::uint64_t> file_bytes() const {
    const bool too_much = std::max({books, tokens, head, tail, pieces}) > kMostImageBytes;
    if (too_much) return std::nullopt;
    return kFixedBytes + books + 8 * tokens + head + tail + kPieceEntryBytes * pieces + kImageDigestBytes;
  }
};

Result<Sizes> sizes_in(ByteReader& reader, std::uint64_t file_bytes) {
  if (reader.text(kImageMagic.size()) != kImageMagic) return damaged_image("it does not begin as an image does");
  if (const auto version = reader.number<std::uint32_t>(); version != kImageVersion) {
    return Error{version > kImageVersion ? ErrorCode::kBadInput : ErrorCode::kCorrupt,
                 fmt::format("the image is of version {}; this program reads version {}", version, kImageVersion),
                 {},
                 "use the program that wrote it"};
  }
  if (reader.number<std::uint32_t>() != kNoFlags) {
    return Error{ErrorCode::kBadInput,
                 "the image is compressed or encrypted in a way this program does not know",
                 {},
                 "use the program that wrote it"};
  }
  const auto said = reader.number<std::uint64_t>();
  Sizes sizes;
  for (auto* size : {&sizes.books, &sizes.tokens, &sizes.head, &sizes.tail, &sizes.pieces}) {
    *size = reader.number<std::uint64_t>();
  }
  const auto expected = sizes.file_bytes();
  if (reader.failed() || said != file_bytes || !expected || *expected != file_bytes) {
    return damaged_image(fmt::format("it has {} bytes, its header says otherwise", file_bytes));
  }
  return sizes;
}

char hex_digit(unsigned value) {
  return static_cast<char>(value < 10 ? '0' + value : 'a' + value - 10);
}

HexName name_from_binary(std::span<const std::byte> bytes) {
  std::string text;
  for (const auto byte : bytes) {
    text += hex_digit(std::to_integer<unsigned>(byte) >> 4U);
    text += hex_digit(std::to_integer<unsigned>(byte) & 15U);
  }
  return *HexName::from(text);  // 32 bytes are 64 digits
}

std::vector<std::byte> binary(const HexName& name) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < name.text().size(); i += 2) {
    unsigned value = 0;
    std::from_chars(name.text().data() + i, name.text().data() + i + 2, value, 16);
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

Result<std::vector<Piece>> pieces_in_file(ByteReader& reader, std::uint64_t count) {
  std::vector<Piece> pieces;
  pieces.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto name = reader.bytes(32);
    if (name.size() != 32) return damaged_image("its list of pieces is cut");
    Piece piece{.name = name_from_binary(name)};
    piece.hash = reader.number<std::uint64_t>();
    piece.bytes = reader.number<std::uint64_t>();
    if (piece.bytes == 0 || piece.bytes > kMostPieceBytes) return damaged_image("a piece of a size that none has");
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

std::uint64_t number_in(const engine::SnapshotFit& fit, std::string_view field) {
  std::uint64_t value = 0;
  for (const auto& [name, text] : fit) {
    if (name == field) std::from_chars(text.data(), text.data() + text.size(), value);
  }
  return std::min<std::uint64_t>(value, std::uint64_t{1} << 30U);
}

}  // namespace

std::uint64_t StoredImage::snapshot_bytes() const {
  // At most 2^23 pieces of 2^22 bytes: no overflow.
  return std::accumulate(pieces.begin(), pieces.end(), std::uint64_t{head.size() + tail.size()},
                         [](std::uint64_t sum, const Piece& piece) { return sum + piece.bytes; });
}

Result<SplitSnapshot> split(const engine::Snapshot& snapshot) {
  BH_TRY(auto outline, engine::outline_of(snapshot));
  const std::span<const std::byte> all(snapshot.bytes());
  SplitSnapshot parts{.fit = std::move(outline.fit), .tokens = std::move(outline.tokens)};
  parts.head = all.first(outline.payload_begin);
  parts.tail = all.subspan(outline.payload_begin + outline.payload_bytes);
  auto payload = all.subspan(outline.payload_begin, outline.payload_bytes);
  if (outline.pieces.empty()) outline.pieces.push_back(payload.size());
  for (const auto size : outline.pieces) {
    auto piece = payload.first(size);
    payload = payload.subspan(size);
    while (!piece.empty()) {
      const auto some = std::min<std::size_t>(piece.size(), kMostPieceBytes);
      parts.pieces.push_back(piece.first(some));
      piece = piece.subspan(some);
    }
  }
  return parts;
}

std::string image_bytes(const StoredImage& image) {
  const auto& traced = image.partition.ledger.tokens;
  const auto books = books_text({image.key.owner(), image.key.fit(), image.saved_at, image.partition});
  const Sizes sizes{books.size(), traced.size(), image.head.size(), image.tail.size(), image.pieces.size()};
  ByteWriter writer;
  writer.text(kImageMagic);
  writer.number(kImageVersion);
  writer.number(kNoFlags);
  writer.number(sizes.file_bytes().value_or(0));
  for (const auto size : {sizes.books, sizes.tokens, sizes.head, sizes.tail, sizes.pieces}) writer.number(size);
  writer.text(books);
  writer.list(std::span<const std::int32_t>(traced.tokens));
  writer.list(std::span<const std::uint32_t>(traced.origin_of));
  writer.bytes(image.head);
  writer.bytes(image.tail);
  for (const auto& piece : image.pieces) {
    writer.bytes(binary(piece.name));
    writer.number(piece.hash);
    writer.number(piece.bytes);
  }
  const auto digest = xxh3_128(writer.written());
  writer.bytes(digest);
  const auto written = writer.written();
  return {reinterpret_cast<const char*>(written.data()), written.size()};
}

Result<StoredImage> image_from(std::string_view bytes) {
  const auto all = std::as_bytes(std::span(bytes));
  if (all.size() < kFixedBytes + kImageDigestBytes || all.size() > kMostImageBytes) {
    return damaged_image(fmt::format("{} bytes are none", all.size()));
  }
  const auto body = all.first(all.size() - kImageDigestBytes);
  ByteReader reader(body);
  BH_TRY(const auto sizes, sizes_in(reader, all.size()));
  const auto digest = xxh3_128(body);
  if (!std::equal(digest.begin(), digest.end(), all.last(kImageDigestBytes).begin())) {
    return damaged_image("its digest is another than it says");
  }
  auto read = books_from(reader.text(sizes.books));
  if (!read.ok()) return damaged_image(read.error().message);
  auto& books = read.value();
  auto& traced = books.partition.ledger.tokens;
  traced.tokens = reader.list<std::int32_t>(sizes.tokens);
  traced.origin_of = reader.list<std::uint32_t>(sizes.tokens);
  const auto head = reader.bytes(sizes.head);
  const auto tail = reader.bytes(sizes.tail);
  BH_TRY(auto pieces, pieces_in_file(reader, sizes.pieces));
  if (reader.failed() || reader.left() != 0) return damaged_image("it is not as long as its header says");
  if (const auto checked = partition::check_books(books.partition); !checked.ok()) {
    return damaged_image(checked.error().message);
  }
  ImageKey key(std::move(books.owner), books.partition.name, traced.tokens, std::move(books.fit));
  StoredImage image{std::move(key),
                    books.saved_at,
                    std::move(books.partition),
                    {head.begin(), head.end()},
                    {tail.begin(), tail.end()},
                    std::move(pieces)};
  if (repeats_too_much(image)) return damaged_image("it names the same pieces too often");
  return image;
}

bool repeats_too_much(const StoredImage& image) {
  std::map<HexName, std::uint64_t> once;
  std::uint64_t all = 0;
  for (const auto& piece : image.pieces) {
    once[piece.name] = piece.bytes;
    all += piece.bytes;
  }
  const auto in_files = std::accumulate(once.begin(), once.end(), std::uint64_t{0},
                                        [](std::uint64_t sum, const auto& entry) { return sum + entry.second; });
  return all / 4 > in_files;
}

Result<void> check_cells(const StoredImage& image, const engine::Snapshot& snapshot) {
  BH_TRY(const auto parts, split(snapshot));
  if (parts.tokens == image.partition.ledger.tokens.tokens && parts.fit == image.key.fit()) return {};
  return Error{ErrorCode::kCorrupt, "the cells are those of other tokens or another engine than the books say",
               image.key.partition(), "compute the partition from its history"};
}

// Rooms of libllama write some numbers for each cell and layer beside the cells.
std::uint64_t most_snapshot_bytes(const engine::SnapshotFit& fit, std::size_t tokens) {
  constexpr std::uint64_t kSpare = std::uint64_t{1} << 20U;
  const auto each = 2 * number_in(fit, "kv_bytes_per_token") + 64;
  return each * tokens + std::uint64_t{sizeof(float)} * number_in(fit, "vocabulary") + kSpare;
}

}  // namespace bulkhead::vault
