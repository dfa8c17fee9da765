// SPDX-License-Identifier: MIT
#include "store/safe_file.h"

#include "store/plain_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>

namespace bulkhead::store {
namespace {

constexpr std::string_view kEnding = ".tmp";

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

int write_and_sync(int descriptor, std::string_view bytes) {
  const int error = write_all(descriptor, bytes);
  return error == 0 && ::fsync(descriptor) != 0 ? errno : error;
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// A file beside the one to be written, under a name that no other process or thread uses. Its writer holds a flock on
// it: so whoever finds one that is free knows that its writer has ended.
struct FileBeside {
  int descriptor = -1;
  std::filesystem::path path;
};

Result<FileBeside> file_beside(const std::filesystem::path& directory, std::string_view stem) {
  static std::atomic<unsigned> counter{0};
  for (;;) {
    auto path = directory / fmt::format(".{}.{}-{}{}", stem, ::getpid(), counter.fetch_add(1), kEnding);
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    // Left by another of our process id, in another container or before a restart.
    if (descriptor < 0 && errno == EEXIST) continue;
    if (descriptor < 0) return file_error("cannot write here", directory / stem, errno);
    // A file system without locks has none that are found free either.
    static_cast<void>(::flock(descriptor, LOCK_EX | LOCK_NB));
    struct stat status {};
    if (::fstat(descriptor, &status) == 0 && status.st_nlink > 0) return FileBeside{descriptor, std::move(path)};
    // Removed as a leftover between the two calls.
    ::close(descriptor);
  }
}

// Whether `name` is ".STEM.PID-NUMBER.tmp"; an empty `stem` stands for any.
bool is_beside(std::string_view name, std::string_view stem) {
  if (!name.starts_with('.') || !name.ends_with(kEnding)) return false;
  name.remove_prefix(1);
  name.remove_suffix(kEnding.size());
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || (!stem.empty() && name.substr(0, dot) != stem)) return false;
  const auto numbers = name.substr(dot + 1);
  return numbers.find('-') != std::string_view::npos && numbers.find_first_not_of("0123456789-") == numbers.npos;
}

void remove_if_free(const std::filesystem::path& path) {
  const auto descriptor = open_plain_file(path, O_RDONLY);
  if (!descriptor.ok()) return;
  if (::flock(descriptor.value(), LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
  ::close(descriptor.value());
}

}  // namespace

bool is_leftover(std::string_view name) {
  return is_beside(name, {});
}

void sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

void remove_leftovers(const std::filesystem::path& directory, std::string_view stem) {
  std::error_code problem;
  for (std::filesystem::directory_iterator entry(directory, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    if (is_beside(entry->path().filename().string(), stem)) remove_if_free(entry->path());
  }
}

Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  const auto directory = directory_of(path);
  const auto stem = path.filename().string();
  remove_leftovers(directory, stem);
  BH_TRY(const auto beside, file_beside(directory, stem));
  int error = write_and_sync(beside.descriptor, bytes);
  if (error == 0 && ::rename(beside.path.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) ::unlink(beside.path.c_str());
  ::close(beside.descriptor);
  if (error != 0) return file_error(fmt::format("writing {} bytes failed", bytes.size()), path, error);
  sync_directory(directory);
  return {};
}

Result<void> write_new_file(const std::filesystem::path& path, std::span<const std::string_view> parts) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor < 0) return file_error("cannot write here", path, errno);
  int error = 0;
  for (const auto part : parts) {
    if (error == 0) error = write_all(descriptor, part);
  }
  if (error == 0 && ::fsync(descriptor) != 0) error = errno;
  ::close(descriptor);
  if (error == 0) return {};
  ::unlink(path.c_str());
  return file_error("writing the file failed", path, error);
}

Result<void> move_into_place(const std::filesystem::path& from, const std::filesystem::path& to) {
  struct stat status {};
  if (::lstat(from.c_str(), &status) != 0) return file_error("cannot open the finished file", from, errno);
  if (S_ISDIR(status.st_mode)) {
    sync_directory(from);
  } else {
    BH_TRY(const int descriptor, open_plain_file(from, O_RDONLY));
    const int error = ::fsync(descriptor) != 0 ? errno : 0;
    ::close(descriptor);
    if (error != 0) return file_error("syncing the file failed", from, error);
  }
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return file_error(fmt::format("moving {} here failed", from.string()), to, errno);
  }
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
  auto probe = file_beside(path, "probe");
  if (!probe.ok()) {
    auto error = probe.error();
    error.place = path.string();
    return error;
  }
  const int error = write_and_sync(probe->descriptor, "probe");
  ::unlink(probe->path.c_str());
  ::close(probe->descriptor);
  if (error != 0) return file_error("cannot write in this folder", path, error);
  return {};
}

}  // namespace bulkhead::store
