// SPDX-License-Identifier: MIT
// The models folder: which models are there, and what their files are.
//
// Thread rule: callable from any thread.
#pragma once

#include "models/environment.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::models {

// The file behind a manifest name or alias, the name of a GGUF file in the models folder, or a path. Nothing is
// fetched. kUsage when it is unknown or not pulled yet (the advice names the command and the names); kCorrupt when a
// named model's file has another size than the manifest says.
[[nodiscard]] Result<std::filesystem::path> find_model(const std::string& name_or_path, const Environment& environment);

// As find_model(), and a folder, for engines that read checkpoints too.
[[nodiscard]] Result<std::filesystem::path> find_model_or_folder(const std::string& name_or_path,
                                                                 const Environment& environment);

struct ListedModel {
  std::string name;  // for a file outside the manifest: its file name
  std::vector<std::string> aliases;
  std::string description;
  std::string licence;
  std::filesystem::path path;  // where it is, or would be
  bool pulled = false;
  bool in_manifest = false;
  bool chat = false;
  std::optional<std::uint64_t> bytes;
};

// All models of the manifest in its order, then the other GGUF files in the models folder by name, a split model as one
// (not pulled when a part is missing). An unreadable or missing folder holds none. Symbolic links in the folder do not
// count.
[[nodiscard]] std::vector<ListedModel> list_models(const Environment& environment);

// What a model is: the SHA-256 of the file at `path`, lower-case hex. Of a split model and of a folder: of the lines
// "SUM  NAME\n" of its parts in order or of its plain files by name, hidden ones left out. Sums of large files are kept
// (known_sums.h). kResource when the model cannot be read, kUsage when a part of it is missing. `progress` (may be
// empty) gets the bytes hashed so far of the file that is being read.
[[nodiscard]] Result<std::string> model_sha256(const std::filesystem::path& path,
                                               const std::function<void(std::uint64_t)>& progress = {});

// Whether all files of the model at `path` were equal to promised sums when they were pulled, and are the same files
// still.
[[nodiscard]] bool model_verified(const std::filesystem::path& path);

// Whether a plain file lies at `path`: no folder, and no symbolic link either.
[[nodiscard]] bool is_plain_file(const std::filesystem::path& path);

// Whether `name` ends in ".gguf", in upper or lower case.
[[nodiscard]] bool is_gguf_name(std::string_view name);

// kUsage when there is no such file; kCorrupt when it does not begin like a GGUF file.
[[nodiscard]] Result<void> check_gguf(const std::filesystem::path& path);

}  // namespace bulkhead::models
