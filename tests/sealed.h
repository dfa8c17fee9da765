// SPDX-License-Identifier: MIT
// Sealed folders made by hand: as a forger would leave them who computes the sums anew.
#pragma once

#include "base/hash.h"
#include "base/json.h"
#include "json_of.h"
#include "store/folder_seal.h"
#include "temporary_folder.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace bulkhead::testing {

// Seals the files `names` of `folder`, as they are now.
inline void seal_folder(const std::filesystem::path& folder, const std::string& kind,
                        const std::vector<std::string>& names, Json about = {}) {
  std::map<std::string, std::string> sums;
  for (const auto& name : names) sums[name] = sha256_hex(read_file(folder / name));
  write_file(folder / store::kManifest, store::sealed_manifest(kind, about, sums));
}

// The same documents and the same manifest, with the sums of what lies there now.
inline void seal_again(const std::filesystem::path& folder) {
  auto manifest = json_of(read_file(folder / store::kManifest));
  std::vector<std::string> names;
  for (const auto& [name, sum] : manifest["documents"].items()) names.push_back(name);
  const auto kind = manifest["kind"].get<std::string>();
  for (const char* const own : {"kind", "documents", "sha256"}) manifest.erase(own);
  seal_folder(folder, kind, names, std::move(manifest));
}

}  // namespace bulkhead::testing
