// SPDX-License-Identifier: MIT
// The file a download grows, and beside it the validator by which a broken-off one goes on.
//
// Thread rule: one thread at a time.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace bulkhead::net {

// Opened late, so that a server that refuses leaves nothing behind. A symbolic link or a FIFO in its place is neither
// followed nor waited for; it is removed.
class PartFile {
 public:
  explicit PartFile(std::filesystem::path path);
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;
  ~PartFile();

  // Bytes of what is there; 0 when it is no plain file.
  [[nodiscard]] std::uint64_t size() const;
  // The validator of what is there; empty when it cannot be resumed.
  [[nodiscard]] std::string etag() const;

  // To append to. kResource when that cannot be.
  [[nodiscard]] Result<void> open();
  // Empties the file, then notes the validator of what will come: in this order a crash between leaves nothing wrong.
  [[nodiscard]] Result<void> restart(const std::string& etag);
  // kResource when it cannot be written, as on a full disk.
  [[nodiscard]] Result<void> append(std::string_view bytes);
  // All is there: syncs it and forgets the validator.
  [[nodiscard]] Result<void> finish();
  void discard() const;

 private:
  [[nodiscard]] Error failure(std::string_view doing, int error) const;

  std::filesystem::path path_;
  std::filesystem::path etag_path_;
  int descriptor_ = -1;
};

}  // namespace bulkhead::net
