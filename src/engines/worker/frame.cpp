// SPDX-License-Identifier: MIT
#include "engines/worker/frame.h"

#include "base/bytes.h"
#include "base/printable.h"
#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::engines::worker {
namespace {

constexpr std::string_view kMagic = "BHWP";
constexpr std::size_t kHeaderBytes = 16;

Error not_protocol(std::string_view begin) {
  return {ErrorCode::kRemote,
          fmt::format("what it wrote is not the worker protocol; it begins with \"{}\"", shown(begin, 80)),
          {},
          {}};
}

Error too_long(std::string_view part, std::uint64_t bytes, std::uint64_t most) {
  return {ErrorCode::kRemote,
          fmt::format("a frame with {} bytes of {}, at most {} are expected", bytes, part, most),
          {},
          {}};
}

}  // namespace

std::string shown(std::string_view text, std::size_t most_bytes) {
  if (text.size() <= most_bytes) return printable(text, LineBreaks::kEscape);
  auto kept = text.substr(0, most_bytes);
  kept.remove_suffix(unfinished_utf8_tail(kept));
  return printable(kept, LineBreaks::kEscape) + "...";
}

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

Result<std::optional<Frame>> FrameReader::next(const FrameLimits& limits) {
  const std::string_view all(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
  // Rubbish is seen at its first byte: who writes three wrong ones and stops is not waited for.
  if (!kMagic.starts_with(all.substr(0, kMagic.size()))) return not_protocol(all);
  if (all.size() < kHeaderBytes) return std::optional<Frame>();
  ByteReader reader(bytes_);
  static_cast<void>(reader.bytes(kMagic.size()));
  const auto json_bytes = reader.number<std::uint32_t>();
  const auto tail_bytes = reader.number<std::uint64_t>();
  if (json_bytes > limits.json_bytes) return too_long("JSON", json_bytes, limits.json_bytes);
  if (tail_bytes > limits.tail_bytes) return too_long("tail", tail_bytes, limits.tail_bytes);
  if (reader.left() < json_bytes || reader.left() - json_bytes < tail_bytes) return std::optional<Frame>();
  auto head = JsonDocument::parse(std::string(reader.text(json_bytes)), name_);
  if (!head.ok() || !head->root().is_object()) {
    return head.ok() ? not_protocol(head->text())
                     : Error{ErrorCode::kRemote, shown(head.error().to_string(), 400), {}, {}};
  }
  return std::optional<Frame>(Frame{std::move(head).value(), take(kHeaderBytes + json_bytes, tail_bytes)});
}

// The tail of the first frame, which is taken off. A tail may be a whole cache: it moves, and is never held twice.
std::vector<std::byte> FrameReader::take(std::size_t head_bytes, std::size_t tail_bytes) {
  const auto head = static_cast<std::ptrdiff_t>(head_bytes);
  const auto whole = static_cast<std::ptrdiff_t>(head_bytes + tail_bytes);
  if (tail_bytes == 0) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + head);
    return {};
  }
  std::vector<std::byte> rest(bytes_.begin() + whole, bytes_.end());
  auto tail = std::exchange(bytes_, std::move(rest));
  tail.resize(head_bytes + tail_bytes);
  tail.erase(tail.begin(), tail.begin() + head);
  return tail;
}

}  // namespace bulkhead::engines::worker
