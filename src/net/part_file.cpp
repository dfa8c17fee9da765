// SPDX-License-Identifier: MIT
#include "net/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace bulkhead::net {
namespace {

// The plain file `path`; -1 with errno when there is none. No symbolic link is followed, and no FIFO waited for.
int open_plain(const std::filesystem::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
  if (descriptor < 0) return -1;
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) return descriptor;
  ::close(descriptor);
  errno = EINVAL;
  return -1;
}

// A weak validator does not promise equal bytes, and one that is no header value could not be sent back.
bool is_validator(std::string_view etag) {
  return !etag.empty() && etag.size() < 1000 && !etag.starts_with("W/") &&
         std::all_of(etag.begin(), etag.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7F; });
}

}  // namespace

PartFile::PartFile(std::filesystem::path path) : path_(std::move(path)), etag_path_(path_.string() + ".etag") {}

PartFile::~PartFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t PartFile::size() const {
  struct stat status {};
  return ::lstat(path_.c_str(), &status) == 0 && S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size)
                                                                         : 0;
}

std::string PartFile::etag() const {
  const int descriptor = open_plain(etag_path_, O_RDONLY);
  if (descriptor < 0) return {};
  std::array<char, 1024> text{};
  const auto got = ::read(descriptor, text.data(), text.size());
  ::close(descriptor);
  const std::string_view line(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  const auto end = line.find('\n');
  // One that was cut is none.
  return std::string(end == std::string_view::npos ? std::string_view() : line.substr(0, end));
}

Result<void> PartFile::open() {
  descriptor_ = open_plain(path_, O_WRONLY | O_CREAT | O_APPEND);
  if (descriptor_ < 0 && (errno == ELOOP || errno == EINVAL || errno == ENXIO)) {
    discard();
    descriptor_ = open_plain(path_, O_WRONLY | O_CREAT | O_APPEND);
  }
  return descriptor_ < 0 ? failure("cannot write the file", errno) : Result<void>();
}

Result<void> PartFile::restart(const std::string& etag) {
  std::error_code ignored;
  std::filesystem::remove(etag_path_, ignored);
  if (::ftruncate(descriptor_, 0) != 0) return failure("cannot empty the file", errno);
  if (!is_validator(etag)) return {};
  const int descriptor = open_plain(etag_path_, O_WRONLY | O_CREAT | O_TRUNC);
  if (descriptor < 0) return {};  // a broken-off transfer then begins anew
  const auto line = etag + "\n";
  const bool whole = ::write(descriptor, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  ::close(descriptor);
  if (!whole) std::filesystem::remove(etag_path_, ignored);
  return {};
}

Result<void> PartFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failure(fmt::format("writing {} more bytes failed", bytes.size()), errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> PartFile::finish() {
  if (descriptor_ >= 0 && ::fsync(descriptor_) != 0) return failure("syncing the file failed", errno);
  std::error_code ignored;
  std::filesystem::remove(etag_path_, ignored);
  return {};
}

void PartFile::discard() const {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
  std::filesystem::remove(etag_path_, ignored);
}

Error PartFile::failure(std::string_view doing, int error) const {
  return Error{ErrorCode::kResource, fmt::format("{}: {}", doing, std::strerror(error)), path_.string(),
               error == ENOSPC ? "the disk is full: free some space" : ""};
}

}  // namespace bulkhead::net
