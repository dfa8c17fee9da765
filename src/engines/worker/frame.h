// SPDX-License-Identifier: MIT
// Frames of the worker protocol (docs/worker-protocol.md): a JSON object, and bytes behind it where JSON would not do.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engines::worker {

// Both sides say theirs in the handshake; only equal ones talk.
inline constexpr std::uint32_t kProtocolVersion = 2;

// The most that a frame may hold. What says that it is longer is rubbish, and not waited for.
struct FrameLimits {
  std::uint64_t json_bytes = std::uint64_t{1} << 28U;
  std::uint64_t tail_bytes = std::uint64_t{1} << 38U;
};

// As it came from the other side: the head is an object, and of nothing in it is anything known yet.
struct Frame {
  JsonDocument head;
  std::vector<std::byte> tail = {};

  // Must not outlive the frame, nor its moving.
  [[nodiscard]] JsonView view() const { return JsonView(head); }
  [[nodiscard]] std::string_view tail_text() const { return {reinterpret_cast<const char*>(tail.data()), tail.size()}; }
};

// What the other side said, for messages: as a terminal may show it, on one line, and cut behind `most_bytes`.
[[nodiscard]] std::string shown(std::string_view text, std::size_t most_bytes = 4096);

// "BHWP", u32 length of the JSON, u64 length of the tail (little-endian), the JSON, the tail.
[[nodiscard]] std::vector<std::byte> encode(const Json& head, std::span<const std::byte> tail);

// Puts frames together from bytes as they come.
class FrameReader {
 public:
  // `name`: what its frames are called in errors.
  explicit FrameReader(std::string name) : name_(std::move(name)) {}
  void add(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  // The next whole frame, nothing while it is not all there. kRemote when the bytes are no frame, or one beyond the
  // limits: then it is over.
  [[nodiscard]] Result<std::optional<Frame>> next(const FrameLimits& limits = {});
  // Whether a frame was begun and not ended.
  [[nodiscard]] bool unfinished() const { return !bytes_.empty(); }

 private:
  [[nodiscard]] std::vector<std::byte> take(std::size_t head_bytes, std::size_t tail_bytes);

  std::string name_;
  std::vector<std::byte> bytes_;
};

}  // namespace bulkhead::engines::worker
