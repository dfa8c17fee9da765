// SPDX-License-Identifier: MIT
#include "store/safe_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

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

Error file_error(std::string_view doing, const std::filesystem::path& path, int error) {
  return Error{ErrorCode::kResource, fmt::format("{}: {}", doing, std::strerror(error)), path.string(),
               std::string(advice_for(error))};
}

// 0 or the errno of the write that failed.
int write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : ENOSPC;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// A name beside `path` that no other process or thread uses.
std::filesystem::path name_beside(const std::filesystem::path& directory, std::string_view stem) {
  static std::atomic<unsigned> counter{0};
  return directory / fmt::format(".{}.{}-{}.tmp", stem, ::getpid(), counter.fetch_add(1));
}

// Makes the rename itself durable. Some file systems cannot sync a directory; the rename has happened all the same.
void sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

int write_and_sync(int descriptor, std::string_view bytes) {
  int error = write_all(descriptor, bytes);
  if (error == 0 && ::fsync(descriptor) != 0) error = errno;
  // NFS and quotas report some failures only here.
  if (::close(descriptor) != 0 && error == 0) error = errno;
  return error;
}

}  // namespace

Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  const auto directory = directory_of(path);
  const auto beside = name_beside(directory, path.filename().string());
  const int descriptor = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) return file_error("cannot write here", path, errno);
  int error = write_and_sync(descriptor, bytes);
  if (error == 0 && ::rename(beside.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(beside.c_str());
    return file_error(fmt::format("writing {} bytes failed", bytes.size()), path, error);
  }
  sync_directory(directory);
  return {};
}

Result<void> move_into_place(const std::filesystem::path& from, const std::filesystem::path& to) {
  const int descriptor = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return file_error("cannot open the finished file", from, errno);
  int error = write_and_sync(descriptor, {});
  if (error == 0 && ::rename(from.c_str(), to.c_str()) != 0) error = errno;
  if (error != 0) return file_error(fmt::format("moving {} here failed", from.string()), to, error);
  sync_directory(directory_of(to));
  return {};
}

Result<void> check_writable_directory(const std::filesystem::path& path) {
  if (path.empty()) return Error{ErrorCode::kResource, "the folder has no name", {}, {}};
  std::error_code problem;
  std::filesystem::create_directories(path, problem);
  // create_directories reports an existing plain file in its own way, or not at all; what counts is what is there now.
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    const int error = problem ? problem.value() : errno;
    return file_error("cannot make the folder", path, error);
  }
  if (!S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::kResource, "is not a folder", path.string(), "name a folder, or remove the file"};
  }
  const auto probe = name_beside(path, "probe");
  const int descriptor = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) return file_error("cannot write in this folder", path, errno);
  const int error = write_and_sync(descriptor, "probe");
  ::unlink(probe.c_str());
  if (error != 0) return file_error("cannot write in this folder", path, error);
  return {};
}

Result<LineFile> LineFile::open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) return file_error("cannot write here", path, errno);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    const int error = errno;
    ::close(descriptor);
    return file_error("cannot read the size of the file", path, error);
  }
  LineFile file(descriptor, path, static_cast<std::uint64_t>(status.st_size));
  char last = '\n';
  if (file.size_ > 0 && ::pread(descriptor, &last, 1, status.st_size - 1) != 1) {
    return file_error("cannot read the end of the file", path, errno);
  }
  if (last != '\n') BH_CHECK(file.append(""));
  return file;
}

LineFile::LineFile(LineFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)), size_(other.size_) {}

LineFile& LineFile::operator=(LineFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  std::swap(size_, other.size_);
  return *this;
}

LineFile::~LineFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> LineFile::append(std::string_view line) {
  if (line.find('\n') != std::string_view::npos) {
    return Error{ErrorCode::kBadInput, "a line cannot hold a newline", path_.string(), {}};
  }
  std::string whole(line);
  whole += '\n';
  if (const int error = write_all(descriptor_, whole); error != 0) {
    // Half a line would make the next one unreadable. If even cutting fails, open() mends it later.
    if (::ftruncate(descriptor_, static_cast<off_t>(size_)) != 0) {
      return file_error(fmt::format("appending {} bytes failed, and half of them are left", whole.size()), path_,
                        error);
    }
    return file_error(fmt::format("appending {} bytes after {} failed", whole.size(), size_), path_, error);
  }
  size_ += whole.size();
  return {};
}

Result<void> LineFile::sync() {
  if (::fsync(descriptor_) != 0) return file_error("syncing the file failed", path_, errno);
  return {};
}

}  // namespace bulkhead::store
