// SPDX-License-Identifier: MIT
// Frames of the worker protocol (docs/worker-protocol.md): a JSON object, and bytes behind it where JSON would not do.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace bulkhead::engines::worker {

// Both sides say theirs in the handshake; only equal ones talk.
inline constexpr std::uint32_t kProtocolVersion = 1;

struct Frame {
  Json head = Json::object();
  std::vector<std::byte> tail = {};

  [[nodiscard]] std::string_view tail_text() const { return {reinterpret_cast<const char*>(tail.data()), tail.size()}; }
};

// "BHWP", u32 length of the JSON, u64 length of the tail (little-endian), the JSON, the tail.
[[nodiscard]] std::vector<std::byte> encode(const Json& head, std::span<const std::byte> tail);

// Puts frames together from bytes as they come.
class FrameReader {
 public:
  void add(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  // The next whole frame, nothing while it is not all there. kRemote when the bytes are no frame: then it is over.
  [[nodiscard]] Result<std::optional<Frame>> next();
  // Whether a frame was begun and not ended.
  [[nodiscard]] bool unfinished() const { return !bytes_.empty(); }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace bulkhead::engines::worker
