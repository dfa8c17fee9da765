// SPDX-License-Identifier: MIT
#include "engines/worker/frame.h"

#include "base/bytes.h"

#include <fmt/format.h>

#include <algorithm>

namespace bulkhead::engines::worker {
namespace {

constexpr std::string_view kMagic = "BHWP";
constexpr std::size_t kHeaderBytes = 16;
// Far above what the protocol needs. A length beyond it is rubbish, and not waited for.
constexpr std::uint64_t kMostJson = std::uint64_t{1} << 28U;
constexpr std::uint64_t kMostTail = std::uint64_t{1} << 38U;

Error not_protocol(std::string_view begin) {
  return {ErrorCode::kRemote,
          fmt::format("what it wrote is not the worker protocol; it begins with {:?}", begin.substr(0, 80)),
          {},
          {}};
}

}  // namespace

std::vector<std::byte> encode(const Json& head, std::span<const std::byte> tail) {
  const auto text = json_text(head, JsonForm::kAscii);
  ByteWriter writer;
  writer.text(kMagic);
  writer.number(static_cast<std::uint32_t>(text.size()));
  writer.number(std::uint64_t{tail.size()});
  writer.text(text);
  writer.bytes(tail);
  return std::move(writer).take();
}

Result<std::optional<Frame>> FrameReader::next() {
  const std::string_view all(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
  // Rubbish is seen at its first byte: who writes three wrong ones and stops is not waited for.
  if (!kMagic.starts_with(all.substr(0, kMagic.size()))) return not_protocol(all);
  if (all.size() < kHeaderBytes) return std::optional<Frame>();
  ByteReader reader(bytes_);
  static_cast<void>(reader.bytes(kMagic.size()));
  const auto json_bytes = reader.number<std::uint32_t>();
  const auto tail_bytes = reader.number<std::uint64_t>();
  if (json_bytes > kMostJson || tail_bytes > kMostTail) return not_protocol(all);
  if (reader.left() < json_bytes + tail_bytes) return std::optional<Frame>();
  Frame frame;
  const auto text = reader.text(json_bytes);
  auto head = parse_json(text);
  if (!head.ok() || !head->is_object()) return not_protocol(text);
  frame.head = std::move(head).value();
  const auto tail = reader.bytes(tail_bytes);
  frame.tail.assign(tail.begin(), tail.end());
  const auto used = static_cast<std::ptrdiff_t>(kHeaderBytes + json_bytes + tail_bytes);
  bytes_.erase(bytes_.begin(), bytes_.begin() + used);
  return std::optional<Frame>(std::move(frame));
}

}  // namespace bulkhead::engines::worker
