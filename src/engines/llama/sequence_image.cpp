// SPDX-License-Identifier: MIT
#include "engines/llama/sequence_image.h"

#include "base/bytes.h"

#include <cstdint>

namespace bulkhead::engines::llama {
namespace {

constexpr std::uint32_t kPending = 1;
constexpr std::uint32_t kCells = 2;

void write_block(ByteWriter& writer, std::span<const std::byte> block) {
  writer.number(std::uint64_t{block.size()});
  writer.bytes(block);
}

std::vector<std::byte> read_block(ByteReader& reader) {
  const auto size = reader.number<std::uint64_t>();
  const auto found = reader.bytes(size);
  return {found.begin(), found.end()};
}

}  // namespace

std::vector<std::byte> to_bytes(const SequenceImage& image) {
  ByteWriter writer;
  writer.number((image.pending ? kPending : 0) | (image.cells ? kCells : 0));
  writer.number(static_cast<std::uint32_t>(image.logits ? image.logits->size() : 0));
  if (image.logits) writer.list(std::span<const float>(*image.logits));
  if (image.cells) write_block(writer, *image.cells);
  return std::move(writer).take();
}

std::optional<SequenceImage> image_from(std::span<const std::byte> bytes, std::uint32_t vocabulary) {
  ByteReader reader(bytes);
  const auto flags = reader.number<std::uint32_t>();
  const auto logits = reader.number<std::uint32_t>();
  if (logits != 0 && logits != vocabulary) return std::nullopt;
  SequenceImage image;
  image.pending = (flags & kPending) != 0;
  if (logits != 0) image.logits = std::make_shared<const Logits>(reader.list<float>(logits));
  if ((flags & kCells) != 0) image.cells = read_block(reader);
  if (reader.failed() || reader.left() != 0) return std::nullopt;
  return image;
}

}  // namespace bulkhead::engines::llama
