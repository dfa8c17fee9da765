// SPDX-License-Identifier: MIT
#include "store/plain_file.h"

#include "base/hash.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

namespace bulkhead::store {
namespace {

std::string_view advice_for(int error) {
  switch (error) {
    case ENOSPC: return "the disk is full: free some space";
    case EDQUOT: return "your disk quota is used up: free some space";
    case EFBIG: return "the file is larger than the file size limit (ulimit -f) or the file system allows";
    case EIO: return "the disk reports an error";
    case EACCES:
    case EPERM: return "check who owns the folder and its permissions";
    case EROFS: return "the file system is read-only";
    default: return {};
  }
}

Error not_plain(const std::filesystem::path& path, std::string_view what) {
  return {ErrorCode::kResource, fmt::format("is {}, not a plain file", what), path.string(),
          "remove it, or name another folder"};
}

// Gives the file's pieces to `take`. 0 or the errno of the read that failed.
int read_pieces(int descriptor, const std::function<bool(std::string_view)>& take) {
  std::array<char, 1U << 16U> piece{};
  for (;;) {
    const ssize_t got = ::read(descriptor, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0 || !take(std::string_view(piece.data(), static_cast<std::size_t>(got)))) return 0;
  }
}

}  // namespace

Error file_error(std::string_view doing, const std::filesystem::path& path, int error) {
  return {ErrorCode::kResource, fmt::format("{}: {}", doing, std::strerror(error)), path.string(),
          std::string(advice_for(error))};
}

Result<int> open_plain_file(const std::filesystem::path& path, int flags) {
  // Without O_NONBLOCK a FIFO would be waited for until somebody opens its other end. Plain files know no such waiting.
  const int descriptor = ::open(path.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
  if (descriptor < 0 && errno == ELOOP) return not_plain(path, "a symbolic link");
  // A FIFO without a reader, and a socket.
  if (descriptor < 0 && errno == ENXIO) return not_plain(path, "a FIFO or a socket");
  if (descriptor < 0) {
    const bool absent = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
    const bool missing = absent && (flags & O_CREAT) == 0;
    auto error = file_error("cannot open the file", path, errno);
    if (missing) error.code = ErrorCode::kBadInput;
    return error;
  }
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) return descriptor;
  ::close(descriptor);
  return not_plain(path, S_ISDIR(status.st_mode) ? "a folder" : "a FIFO or a device");
}

Result<std::string> read_plain_file(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  BH_TRY(const int descriptor, open_plain_file(path, O_RDONLY));
  std::string bytes;
  const int error = read_pieces(descriptor, [&](std::string_view piece) {
    bytes += piece;
    return bytes.size() <= limit_bytes;
  });
  ::close(descriptor);
  if (error != 0) return file_error("cannot read the file", path, error);
  if (bytes.size() <= limit_bytes) return bytes;
  return Error{
      ErrorCode::kBadInput, fmt::format("the file has more than {} bytes, the limit", limit_bytes), path.string(), {}};
}

Result<std::string> sha256_of_plain_file(const std::filesystem::path& path) {
  BH_TRY(const int descriptor, open_plain_file(path, O_RDONLY));
  Sha256 sum;
  const int error = read_pieces(descriptor, [&](std::string_view piece) {
    sum.update(piece);
    return true;
  });
  ::close(descriptor);
  if (error != 0) return file_error("cannot read the file", path, error);
  return sum.hex();
}

}  // namespace bulkhead::store
