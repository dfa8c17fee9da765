// SPDX-License-Identifier: MIT
#include "store/file_lock.h"

#include "store/plain_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

namespace bulkhead::store {
namespace {

// What one attempt came to: a descriptor that holds the lock, or who holds it instead.
struct Attempt {
  int descriptor = -1;
  long holder = 0;
};

Error lock_error(const std::filesystem::path& path, int error) {
  return Error{ErrorCode::kResource, fmt::format("cannot lock: {}", std::strerror(error)), path.string(), {}};
}

long read_pid(int descriptor) {
  std::array<char, 32> text{};
  const ssize_t got = ::pread(descriptor, text.data(), text.size() - 1, 0);
  return got > 0 ? std::strtol(text.data(), nullptr, 10) : 0;
}

Result<Attempt> attempt(const std::filesystem::path& path) {
  BH_TRY(const int descriptor, open_plain_file(path, O_RDWR | O_CREAT));
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    const long holder = read_pid(descriptor);
    ::close(descriptor);
    if (error == EWOULDBLOCK || error == EINTR) return Attempt{-1, holder};
    return lock_error(path, error);
  }
  // The id is for the message to others only; the lock holds without it, say on a full disk.
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(descriptor, 0) != 0 || ::pwrite(descriptor, pid.data(), pid.size(), 0) < 0) errno = 0;
  return Attempt{descriptor, 0};
}

}  // namespace

Result<FileLock> FileLock::try_acquire(const std::filesystem::path& path) {
  BH_TRY(const auto tried, attempt(path));
  if (tried.descriptor >= 0) return FileLock(tried.descriptor);
  const auto who = tried.holder > 0 ? fmt::format("pid {}", tried.holder) : std::string("another process");
  return Error{ErrorCode::kResource, "locked by " + who, path.string(), "wait for it to end, or end it"};
}

Result<FileLock> FileLock::acquire(const std::filesystem::path& path, const std::function<void(long)>& waiting,
                                   const std::stop_token& stop) {
  for (bool first = true;; first = false) {
    BH_TRY(const auto tried, attempt(path));
    if (tried.descriptor >= 0) return FileLock(tried.descriptor);
    if (stop.stop_requested()) {
      return Error{ErrorCode::kInterrupted, "stopped while waiting for a lock", path.string(), {}};
    }
    if (first && waiting) waiting(tried.holder);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace bulkhead::store
