// SPDX-License-Identifier: MIT
// Two hashes with two purposes: SHA-256 says what something is, XXH3 whether bits moved.
#pragma once

#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace bulkhead {

// Incremental SHA-256. Not copyable; one thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  // Lower-case hex, 64 characters. Call once.
  [[nodiscard]] std::string hex();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

[[nodiscard]] std::string sha256_hex(std::string_view text);

// SHA-256 of token ids in order, each as 4 bytes little-endian.
[[nodiscard]] std::string sha256_of_tokens(std::span<const std::int32_t> tokens);

// SHA-256 of a whole file, read in pieces. `progress` (may be empty) gets the bytes read so far.
[[nodiscard]] Result<std::string> sha256_of_file(const std::filesystem::path& path,
                                                 const std::function<void(std::uint64_t)>& progress = {});

[[nodiscard]] std::uint64_t xxh3_64(std::span<const std::byte> bytes) noexcept;

// XXH3-64 of a whole file, from its beginning, read in pieces. kResource when it cannot be read.
[[nodiscard]] Result<std::uint64_t> xxh3_64_of_file(std::istream& file);

// XXH3-128 in its canonical byte order (big-endian): finds damage, does not stop a forger.
[[nodiscard]] std::array<std::byte, 16> xxh3_128(std::span<const std::byte> bytes) noexcept;

}  // namespace bulkhead
