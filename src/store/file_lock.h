// SPDX-License-Identifier: MIT
// A lock between processes, held by an open file: the system frees it when the holder ends, however it ends.
#pragma once

#include "base/result.h"

#include <filesystem>
#include <functional>
#include <stop_token>

namespace bulkhead::store {

// Holds an exclusive flock on a file, with the holder's process id written in it. The file is left behind on purpose:
// removing it would let two processes lock two files of one name. Two FileLocks of one process exclude each other too.
// Thread rule: one thread at a time per object.
class FileLock {
 public:
  // Locks `path` (created if missing) or fails at once: kResource "locked by pid N", that the file cannot be made, or
  // that something other than a plain file lies there: a symbolic link is not followed, a FIFO not waited for.
  [[nodiscard]] static Result<FileLock> try_acquire(const std::filesystem::path& path);

  // Like try_acquire, but waits. `waiting` (may be empty) is called once, with the holder's process id (0 if unknown),
  // when the lock is not free at once. kInterrupted when `stop` is requested meanwhile; it is noticed within 0.1 s.
  [[nodiscard]] static Result<FileLock> acquire(const std::filesystem::path& path,
                                                const std::function<void(long holder)>& waiting = {},
                                                const std::stop_token& stop = {});

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace bulkhead::store
