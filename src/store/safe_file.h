// SPDX-License-Identifier: MIT
// Files that survive a full disk and a killed program: whole or not at all.
//
// Thread rule: the functions may be called from any thread.
#pragma once

#include "base/result.h"

#include <filesystem>
#include <span>
#include <string_view>

namespace bulkhead::store {

// Puts `bytes` at `path`, whole or not at all: writes a file beside it, syncs it, renames it over `path` and syncs the
// directory. On failure what was at `path` is still there, and the file beside it is gone. A symbolic link at `path` is
// replaced, not followed. kResource (disk full, quota, file size limit, no permission) names the file and the bytes.
// Files beside it that a killed program left are removed; those of programs that still write are not.
[[nodiscard]] Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// Writes `parts`, one behind the other, into the new file `path`, which only its owner may read, and syncs it. Nothing
// may lie there: no link is followed. On failure (kResource) there is no such file.
[[nodiscard]] Result<void> write_new_file(const std::filesystem::path& path, std::span<const std::string_view> parts);

// Gives the finished file or folder `from` the name `to` on the same file system: syncs it, renames it over `to` and
// syncs the directory. On failure (kResource) both are as they were. `from` must be no symbolic link, FIFO or device.
[[nodiscard]] Result<void> move_into_place(const std::filesystem::path& from, const std::filesystem::path& to);

// Creates the directory `path` (with parents) if it is missing, and proves by creating and removing a file that one can
// write there: mode bits alone say nothing to root or on a read-only mount. kResource otherwise.
[[nodiscard]] Result<void> check_writable_directory(const std::filesystem::path& path);

// Whether `name` is that of a file beside the one to be written, of write_file_atomically() for example.
[[nodiscard]] bool is_leftover(std::string_view name);

// Removes the files in `directory` that killed programs left behind while they wrote the file `stem`; empty: any file.
void remove_leftovers(const std::filesystem::path& directory, std::string_view stem = {});

// Makes the names in `directory` durable. Some file systems cannot sync a directory; the names are there all the same.
void sync_directory(const std::filesystem::path& directory);

}  // namespace bulkhead::store
