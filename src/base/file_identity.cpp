// SPDX-License-Identifier: MIT
#include "base/file_identity.h"

#include <sys/stat.h>

namespace bulkhead {

std::optional<FileIdentity> file_identity(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
#if defined(__APPLE__)
  const auto changed = status.st_mtimespec;
#else
  const auto changed = status.st_mtim;
#endif
  return FileIdentity{status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
                      static_cast<std::uint64_t>(changed.tv_sec), static_cast<std::uint64_t>(changed.tv_nsec)};
}

}  // namespace bulkhead
