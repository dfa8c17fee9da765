// SPDX-License-Identifier: MIT
#include "models/model_files.h"

#include "base/file_identity.h"
#include "base/hash.h"
#include "models/known_sums.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <system_error>
#include <utility>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

Error not_pulled(const ManifestModel& model) {
  return Error{ErrorCode::kUsage,
               fmt::format("the model {} has not been pulled yet", model.name),
               {},
               fmt::format("run: bulkhead pull {}", model.name)};
}

Result<fs::path> find_named(const ManifestModel& model, const Environment& environment) {
  const auto path = environment.models_folder / model.file;
  if (!is_plain_file(path)) return not_pulled(model);
  std::error_code problem;
  const auto bytes = fs::file_size(path, problem);
  if (!problem && model.bytes && bytes != *model.bytes) {
    return Error{ErrorCode::kCorrupt, fmt::format("the file has {} bytes; {} has {}", bytes, model.name, *model.bytes),
                 path.string(), fmt::format("run: bulkhead pull {}", model.name)};
  }
  return path;
}

// The files that make up the model at `path`, a file or a folder.
Result<std::vector<fs::path>> all_files(const fs::path& path) {
  std::error_code problem;
  if (!fs::is_directory(path, problem)) return files_of_model(path);
  std::set<fs::path> files;
  problem.clear();
  for (fs::directory_iterator entry(path, problem), end; !problem && entry != end; entry.increment(problem)) {
    const bool hidden = entry->path().filename().string().starts_with('.');
    if (is_file(entry->path()) && !hidden && entry->path().extension() != ".sha256") files.insert(entry->path());
  }
  if (problem) return Error{ErrorCode::kResource, "cannot read the folder", path.string(), {}};
  return std::vector<fs::path>(files.begin(), files.end());
}

// The GGUF files of the models folder, a split model as its first part.
std::vector<fs::path> gguf_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code problem;
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) {
    const auto name = entry->path().filename().string();
    if (name.starts_with('.') || !is_gguf_name(name) || !is_plain_file(entry->path())) continue;
    const auto part = model_part(name);
    if (!part || part->number == 1) files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Bytes of all files of the model at `path`; nothing when one is missing or no plain file.
std::optional<std::uint64_t> plain_bytes(const fs::path& path) {
  const auto files = files_of_model(path);
  if (!std::all_of(files.begin(), files.end(), is_plain_file)) return std::nullopt;
  const auto identity = model_identity(path);
  if (!identity) return std::nullopt;
  return bytes_of(*identity);
}

}  // namespace

Result<fs::path> find_model(const std::string& name_or_path, const Environment& environment) {
  if (const auto* model = environment.manifest.find(name_or_path)) return find_named(*model, environment);
  const fs::path path(name_or_path);
  if (is_file(path)) return path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    return Error{ErrorCode::kUsage, "is a folder, not a model file", name_or_path, "name the GGUF file in it"};
  }
  if (!path.has_parent_path() && is_gguf_name(name_or_path) && is_plain_file(environment.models_folder / path)) {
    return environment.models_folder / path;
  }
  return Error{ErrorCode::kUsage,
               fmt::format("there is no model and no file named \"{}\"", name_or_path),
               {},
               fmt::format("run: bulkhead pull NAME, with one of: {}", environment.manifest.names())};
}

Result<fs::path> find_model_or_folder(const std::string& name_or_path, const Environment& environment) {
  std::error_code ignored;
  const bool named = environment.manifest.find(name_or_path) != nullptr;
  if (!named && fs::is_directory(name_or_path, ignored)) return fs::path(name_or_path);
  return find_model(name_or_path, environment);
}

std::vector<ListedModel> list_models(const Environment& environment) {
  std::vector<ListedModel> listed;
  std::set<std::string> known;
  for (const auto& model : environment.manifest.models()) {
    const auto path = environment.models_folder / model.file;
    const auto bytes = plain_bytes(path);
    const bool pulled = bytes && (!model.bytes || *model.bytes == *bytes);
    listed.push_back({model.name, model.aliases, model.description, model.licence, path, pulled, true, model.chat,
                      pulled ? bytes : model.bytes});
    known.insert(model.file);
  }
  for (const auto& path : gguf_files(environment.models_folder)) {
    if (known.contains(path.filename().string())) continue;
    const auto bytes = plain_bytes(path);
    listed.push_back({path.filename().string(), {}, {}, {}, path, bytes.has_value(), false, false, bytes});
  }
  return listed;
}

Result<std::string> model_sha256(const fs::path& path, const std::function<void(std::uint64_t)>& progress) {
  BH_TRY(const auto files, all_files(path));
  if (files.size() == 1 && files.front() == path) {
    BH_TRY(auto sum, sum_of_file(path, progress));
    return std::move(sum.sha256);
  }
  std::string lines;
  for (const auto& file : files) {
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
      return Error{ErrorCode::kUsage, "a part of the model is missing", file.string(), "all parts must lie together"};
    }
    BH_TRY(const auto sum, sum_of_file(file, progress));
    lines += fmt::format("{}  {}\n", sum.sha256, file.filename().string());
  }
  return sha256_hex(lines);
}

bool model_verified(const fs::path& path) {
  const auto files = all_files(path);
  if (!files.ok() || files->empty()) return false;
  return std::all_of(files->begin(), files->end(), [](const auto& file) {
    const auto sum = sum_of_file(file);
    return sum.ok() && sum->verified;
  });
}

bool is_plain_file(const fs::path& path) {
  std::error_code ignored;
  return fs::symlink_status(path, ignored).type() == fs::file_type::regular;
}

bool is_gguf_name(std::string_view name) {
  return lower_case(name).ends_with(".gguf");
}

Result<void> check_gguf(const fs::path& path) {
  if (!is_file(path))
    return Error{ErrorCode::kUsage, "there is no such file, or it is no plain file", path.string(), {}};
  std::ifstream file(path, std::ios::binary);
  std::array<char, 4> magic{};
  if (!file) return Error{ErrorCode::kResource, "cannot read the file", path.string(), {}};
  file.read(magic.data(), magic.size());
  if (file.gcount() != 4 || std::string_view(magic.data(), magic.size()) != "GGUF") {
    return Error{ErrorCode::kCorrupt, "is not a GGUF file: it does not begin with \"GGUF\"", path.string(), {}};
  }
  return {};
}

}  // namespace bulkhead::models
