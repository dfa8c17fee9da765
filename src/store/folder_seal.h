// SPDX-License-Identifier: MIT
// Folder seal: what the documents of a run, an evaluation or a comparison are, as manifest.json names them. A document
// that was changed or belongs to another run is found; a forger who computes the sums anew is not: nothing here is
// secret.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace bulkhead::store {

inline constexpr std::string_view kManifest = "manifest.json";

// manifest.json of `kind` ("run", "evaluation", ...): `about` with the fields "kind", "documents" (name -> SHA-256) and
// "sha256", of the text that this function makes without that field.
[[nodiscard]] std::string sealed_manifest(std::string_view kind, const Json& about,
                                          const std::map<std::string, std::string>& sums);

// The seal of a folder as it was when it was read. Thread rule: one thread at a time.
// NOLINTNEXTLINE(bugprone-exception-escape): nlohmann's move cannot throw
class FolderSeal {
 public:
  // Reads FOLDER/manifest.json. kBadInput: there is none; kCorrupt: it is not one of ours, or was changed.
  [[nodiscard]] static Result<FolderSeal> read(const std::filesystem::path& folder);

  [[nodiscard]] const std::string& kind() const noexcept { return kind_; }
  [[nodiscard]] const Json& manifest() const noexcept { return manifest_; }
  [[nodiscard]] const std::map<std::string, std::string>& sums() const noexcept { return sums_; }

  // Where the document lies: a writer that was killed may have left it aside (see sealed_folder.h).
  [[nodiscard]] std::filesystem::path path_of(const std::string& name) const;

  // The document's bytes. kCorrupt: they are not those that the manifest names; kBadInput: the folder has no such
  // document, or it has more than `limit_bytes`.
  [[nodiscard]] Result<std::string> document(const std::string& name, std::uint64_t limit_bytes) const;

  // Compares every document that is there with its sum. kCorrupt names the first that was changed. Those that are not
  // there are passed over: a published folder may hold a part.
  [[nodiscard]] Result<void> check() const;

 private:
  FolderSeal() = default;

  std::filesystem::path folder_;
  std::string kind_;
  Json manifest_;
  std::map<std::string, std::string> sums_;
};

}  // namespace bulkhead::store
