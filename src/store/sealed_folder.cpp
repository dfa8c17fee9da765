// SPDX-License-Identifier: MIT
#include "store/sealed_folder.h"

#include "base/hash.h"
#include "store/folder_seal.h"
#include "store/generation.h"
#include "store/safe_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace bulkhead::store {
namespace {

constexpr const char* kLock = ".bulkhead-lock";

Error taken(const std::filesystem::path& path, std::string message, std::string advice) {
  return {ErrorCode::kUsage, std::move(message), path.string(), std::move(advice)};
}

// The first entry that a killed writer of ours does not leave; empty: there is none.
Result<std::string> foreign_entry(const std::filesystem::path& folder) {
  std::error_code problem;
  for (std::filesystem::directory_iterator entry(folder, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    auto name = entry->path().filename().string();
    if (name != kLock && !is_aside(name) && !is_leftover(name)) return name;
  }
  if (problem) return Error{ErrorCode::kResource, "cannot list the folder: " + problem.message(), folder.string(), {}};
  return std::string();
}

// Before anything is made in it, even a lock: a folder that is not ours must stay as it is.
Result<void> check_ours(const std::filesystem::path& path) {
  std::error_code problem;
  if (!std::filesystem::is_directory(path, problem)) return {};
  BH_TRY(const auto found, foreign_entry(path));
  if (found.empty()) return {};
  const auto seal = FolderSeal::read(path);
  if (seal.ok()) return {};
  if (seal.error().code != ErrorCode::kBadInput) return seal.error();
  return taken(path, fmt::format("the folder holds files that are not of Bulkhead, such as \"{}\"", found),
               "name a folder that is new or empty");
}

}  // namespace

Result<SealedFolder> SealedFolder::open(const std::filesystem::path& path, std::string kind, Existing existing) {
  BH_CHECK(check_ours(path));
  BH_CHECK(check_writable_directory(path));
  BH_TRY(auto lock, FileLock::try_acquire(path / kLock));
  SealedFolder folder(path, std::move(kind), std::move(lock));
  BH_CHECK(folder.take(existing));
  return folder;
}

Result<SealedFolder> SealedFolder::create_unique(const std::filesystem::path& stem, std::string kind) {
  if (stem.has_parent_path()) BH_CHECK(check_writable_directory(stem.parent_path()));
  for (unsigned again = 1;; ++again) {
    const std::filesystem::path path = again == 1 ? stem.string() : fmt::format("{}-{}", stem.string(), again);
    if (::mkdir(path.c_str(), 0777) == 0) return open(path, std::move(kind), Existing::kRefuse);
    if (errno != EEXIST) {
      return Error{
          ErrorCode::kResource, "cannot make the folder: " + std::generic_category().message(errno), path.string(), {}};
    }
  }
}

Result<void> SealedFolder::take(Existing existing) {
  BH_CHECK(finish_generation(path_));
  remove_leftovers(path_);
  const auto seal = FolderSeal::read(path_);
  // Nothing else is there: check_ours() has looked.
  if (!seal.ok() && seal.error().code == ErrorCode::kBadInput) return write({}, true);
  if (!seal.ok()) return seal.error();
  if (seal->kind() != kind_) {
    return taken(path_, fmt::format("the folder holds documents of another kind: {}, not {}", seal->kind(), kind_),
                 "name another folder");
  }
  if (existing == Existing::kRefuse && !seal->sums().empty()) {
    return taken(path_, fmt::format("the folder holds another {}", kind_),
                 "name another folder, or replace what is there with --force");
  }
  sums_ = seal->sums();
  about_ = seal->manifest();
  for (const char* const own : {"kind", "documents", "sha256"}) about_.erase(own);
  return {};
}

Result<void> SealedFolder::replace(std::map<std::string, std::string> documents, Json about) {
  about_ = std::move(about);
  return write(std::move(documents), false);
}

Result<void> SealedFolder::add(std::map<std::string, std::string> documents) {
  return write(std::move(documents), true);
}

Result<void> SealedFolder::write(std::map<std::string, std::string> documents, bool keep_others) {
  auto sums = keep_others ? sums_ : std::map<std::string, std::string>();
  for (const auto& [name, bytes] : documents) sums[name] = sha256_hex(bytes);
  for (const auto& [name, sum] : sums_) {
    std::error_code ignored;
    // Of what was here before. A reader passes over a document that is not there.
    if (!sums.contains(name)) std::filesystem::remove(path_ / name, ignored);
  }
  documents[std::string(kManifest)] = sealed_manifest(kind_, about_, sums);
  BH_CHECK(write_generation(path_, documents));
  sums_ = std::move(sums);
  return {};
}

}  // namespace bulkhead::store
