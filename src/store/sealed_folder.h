// SPDX-License-Identifier: MIT
// Sealed folder: the folder of one run, evaluation or comparison while it is written. Its documents belong together:
// manifest.json names the SHA-256 of each, and they are replaced all at once (generation.h).
//
// Thread rule: one thread at a time. One process at a time: the folder is locked until the object goes; the system
// frees the lock of a program that was killed.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "store/file_lock.h"

#include <filesystem>
#include <map>
#include <string>

namespace bulkhead::store {

class SealedFolder {
 public:
  // What may lie in a folder that is given for something new.
  enum class Existing {
    kRefuse,   // nothing but what a killed program left before it had written a document
    kReplace,  // also documents of the same kind; the first write() takes their place
    kContinue  // also documents of the same kind, which stay
  };

  // Takes `path` (created if missing) for documents of `kind`, finishes what a killed writer left, and claims a folder
  // without documents by a manifest that names none. kUsage: it holds documents of another kind, or such as `existing`
  // does not allow, or files that are not ours: those are never replaced. kResource: locked by another process, not
  // writable; kCorrupt: the manifest of a folder to be continued was changed.
  [[nodiscard]] static Result<SealedFolder> open(const std::filesystem::path& path, std::string kind,
                                                 Existing existing);

  // A new folder `stem`, or `stem`-2, `stem`-3, ...: the first name that is free, also for processes that start at
  // once.
  [[nodiscard]] static Result<SealedFolder> create_unique(const std::filesystem::path& stem, std::string kind);

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  // Puts `documents` (name -> bytes) in place of all that are there, with a manifest of `about`. All or nothing, also
  // when the program is killed: kResource (disk full, say) leaves those of before.
  [[nodiscard]] Result<void> replace(std::map<std::string, std::string> documents, Json about);

  // Puts `documents` beside those that are there, in place of those of their names. As replace() else.
  [[nodiscard]] Result<void> add(std::map<std::string, std::string> documents);

 private:
  SealedFolder(std::filesystem::path path, std::string kind, FileLock lock)
      : path_(std::move(path)), kind_(std::move(kind)), lock_(std::move(lock)) {}
  [[nodiscard]] Result<void> take(Existing existing);
  [[nodiscard]] Result<void> write(std::map<std::string, std::string> documents, bool keep_others);

  std::filesystem::path path_;
  std::string kind_;
  FileLock lock_;
  Json about_ = Json::object();
  std::map<std::string, std::string> sums_;  // of the documents that are there
};

}  // namespace bulkhead::store
