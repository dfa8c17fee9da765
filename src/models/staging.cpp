// SPDX-License-Identifier: MIT
#include "models/staging.h"

#include "store/safe_file.h"

#include <fmt/format.h>

#include <system_error>

namespace bulkhead::models {

Result<void> make_staging(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (std::filesystem::is_symlink(folder, ignored)) {
    return Error{ErrorCode::kResource, "is a symbolic link, which a pull does not follow", folder.string(),
                 "remove it"};
  }
  return store::check_writable_directory(folder);
}

Result<store::FileLock> lock_staging(const std::filesystem::path& folder, const std::string& title,
                                     const PullProgress& progress, const std::stop_token& stop) {
  BH_CHECK(make_staging(folder.parent_path()));
  return store::FileLock::acquire(
      folder.string() + ".lock",
      [&](long holder) {
        if (!progress.note) return;
        progress.note(fmt::format("another pull of {} is running (pid {}): waiting", title, holder));
      },
      stop);
}

std::uint64_t size_of(const std::filesystem::path& path) {
  std::error_code problem;
  const auto bytes = std::filesystem::file_size(path, problem);
  return problem ? 0 : bytes;
}

}  // namespace bulkhead::models
