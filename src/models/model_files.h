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

// All models of the manifest in its order, then the other GGUF files in the models folder by name. An unreadable or
// missing folder holds none.
[[nodiscard]] std::vector<ListedModel> list_models(const Environment& environment);

// SHA-256 of the file at `path`, lower-case hex; of a folder: of the lines "SUM  NAME\n" of its plain files, by name,
// hidden ones left out. Reading a big file takes seconds, so the sum is kept beside it in `path`.sha256 and holds as
// long as size and time of change are the same; that file is written where possible, and a file of that name that is
// not ours is left alone. kResource when the model cannot be read. `progress` (may be empty) gets the bytes hashed so
// far.
[[nodiscard]] Result<std::string> model_sha256(const std::filesystem::path& path,
                                               const std::function<void(std::uint64_t)>& progress = {});

// What `path`.sha256 says.
struct SumNote {
  std::string sha256;
  bool verified = false;  // it was equal to a sum from elsewhere when the file was pulled
};

// The note beside `path` if it is ours and still fits the file.
[[nodiscard]] std::optional<SumNote> read_sum_note(const std::filesystem::path& path);

// Writes the note beside `path` where possible.
void write_sum_note(const std::filesystem::path& path, const SumNote& note);

// kUsage when there is no such file; kCorrupt when it does not begin like a GGUF file.
[[nodiscard]] Result<void> check_gguf(const std::filesystem::path& path);

}  // namespace bulkhead::models
