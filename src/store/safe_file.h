// SPDX-License-Identifier: MIT
// Files that survive a full disk and a killed program: whole or not at all, or line by line.
//
// Thread rule: the functions may be called from any thread; a LineFile is used by one thread at a time.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace bulkhead::store {

// Puts `bytes` at `path`, whole or not at all: writes a file beside it, syncs it, renames it over `path` and syncs the
// directory. On failure what was at `path` is still there, and the file beside it is gone. A symbolic link at `path` is
// replaced, not followed. kResource (disk full, quota, file size limit, no permission) names the file and the bytes.
[[nodiscard]] Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// Gives the finished file `from` the name `to` on the same file system: syncs it, renames it over `to` and syncs the
// directory. On failure (kResource) both are as they were.
[[nodiscard]] Result<void> move_into_place(const std::filesystem::path& from, const std::filesystem::path& to);

// Creates the directory `path` (with parents) if it is missing, and proves by creating and removing a file that one can
// write there: mode bits alone say nothing to root or on a read-only mount. kResource otherwise.
[[nodiscard]] Result<void> check_writable_directory(const std::filesystem::path& path);

// An append-only file of lines, such as jsonl. Each line is handed to the system as soon as it is appended, so a killed
// program loses none; sync() guards against a power cut too.
class LineFile {
 public:
  // Opens or creates `path`. If the file ends in a half-written line, that line is closed with a newline first, so that
  // it spoils no other. kResource when it cannot be opened.
  [[nodiscard]] static Result<LineFile> open(const std::filesystem::path& path);

  LineFile(LineFile&& other) noexcept;
  LineFile& operator=(LineFile&& other) noexcept;
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;
  ~LineFile();

  // Appends `line` and a newline. kBadInput when `line` holds a newline itself. kResource when the disk is full: the
  // file then ends with the last whole line, and append() may be tried again.
  [[nodiscard]] Result<void> append(std::string_view line);

  // Waits until everything appended so far is on the disk.
  [[nodiscard]] Result<void> sync();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  LineFile(int descriptor, std::filesystem::path path, std::uint64_t size)
      : descriptor_(descriptor), path_(std::move(path)), size_(size) {}

  int descriptor_;
  std::filesystem::path path_;
  std::uint64_t size_;  // end of the last whole line
};

}  // namespace bulkhead::store
