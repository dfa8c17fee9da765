// SPDX-License-Identifier: MIT
#include "store/generation.h"

#include "store/folder_seal.h"
#include "store/plain_file.h"
#include "store/safe_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <vector>

namespace bulkhead::store {
namespace {

constexpr const char* kNext = ".bulkhead-next";
constexpr const char* kSwitch = ".bulkhead-switch";

bool is_folder(const std::filesystem::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool is_there(const std::filesystem::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

// A symbolic link is removed, not what it points to.
Result<void> clear_away(const std::filesystem::path& path) {
  std::error_code problem;
  std::filesystem::remove_all(path, problem);
  if (problem) return file_error("cannot remove what a killed program left", path, problem.value());
  return {};
}

Result<void> move_one(const std::filesystem::path& folder, const std::string& name) {
  const auto from = folder / kSwitch / name;
  const auto to = folder / name;
  if (::rename(from.c_str(), to.c_str()) != 0) return file_error("moving the finished file here failed", to, errno);
  return {};
}

Result<std::vector<std::string>> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code problem;
  for (std::filesystem::directory_iterator entry(folder, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    names.push_back(entry->path().filename().string());
  }
  if (problem) return file_error("cannot list the folder", folder, problem.value());
  return names;
}

Result<void> move_all(const std::filesystem::path& folder) {
  BH_TRY(const auto names, names_in(folder / kSwitch));
  for (const auto& name : names) {
    if (name != kManifest) BH_CHECK(move_one(folder, name));
  }
  // The names are on the disk before the manifest leaves: a power cut must not lose the one and keep the other.
  sync_directory(folder);
  return move_one(folder, std::string(kManifest));
}

Result<void> write_next(const std::filesystem::path& folder, const std::map<std::string, std::string>& files) {
  const auto next = folder / kNext;
  if (::mkdir(next.c_str(), 0777) != 0) return file_error("cannot write here", next, errno);
  for (const auto& [name, bytes] : files) {
    if (auto written = write_file_atomically(next / name, bytes); !written.ok()) {
      auto error = written.error();
      error.place = (folder / name).string();
      return error;
    }
  }
  sync_directory(next);
  return {};
}

}  // namespace

bool is_aside(const std::string& name) {
  return name == kNext || name == kSwitch;
}

std::filesystem::path current_path(const std::filesystem::path& folder, const std::string& name) {
  auto aside = folder / kSwitch / name;
  return is_folder(folder / kSwitch) && is_there(aside) ? aside : folder / name;
}

Result<void> write_generation(const std::filesystem::path& folder, const std::map<std::string, std::string>& files) {
  BH_CHECK(finish_generation(folder));
  if (auto written = write_next(folder, files); !written.ok()) {
    static_cast<void>(clear_away(folder / kNext));
    return written;
  }
  const auto next = folder / kNext;
  const auto current = folder / kSwitch;
  if (::rename(next.c_str(), current.c_str()) != 0) return file_error("cannot rename the folder", next, errno);
  sync_directory(folder);
  return finish_generation(folder);
}

Result<void> finish_generation(const std::filesystem::path& folder) {
  // Without its manifest everything in it was moved.
  if (is_folder(folder / kSwitch) && is_there(folder / kSwitch / kManifest)) {
    BH_CHECK(move_all(folder));
    sync_directory(folder);
  }
  BH_CHECK(clear_away(folder / kSwitch));
  return clear_away(folder / kNext);
}

}  // namespace bulkhead::store
