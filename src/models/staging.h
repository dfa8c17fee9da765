// SPDX-License-Identifier: MIT
// The folder `.staging/NAME` in the models folder, in which a pull gathers what it fetches, and the lock beside it.
//
// Thread rule: callable from any thread.
#pragma once

#include "models/pull.h"
#include "store/file_lock.h"

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

namespace bulkhead::models {

// Waits until no other pull uses `folder`, whose parent is made if it is missing, and says so once. kResource when the
// parent cannot be written, or is a symbolic link; kInterrupted when stopped.
[[nodiscard]] Result<store::FileLock> lock_staging(const std::filesystem::path& folder, const std::string& title,
                                                   const PullProgress& progress, const std::stop_token& stop);

// Makes `folder` if it is missing. kResource when it cannot be written, or is a symbolic link: a pull writes nowhere
// but below the models folder.
[[nodiscard]] Result<void> make_staging(const std::filesystem::path& folder);

// Bytes of the file; 0 where there is none.
[[nodiscard]] std::uint64_t size_of(const std::filesystem::path& path);

}  // namespace bulkhead::models
