// SPDX-License-Identifier: MIT
#include "models/model_files.h"

#include "base/hash.h"
#include "base/json.h"
#include "store/safe_file.h"

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

// What tells a changed file from the one that was hashed.
struct Stamp {
  std::uint64_t bytes = 0;
  std::int64_t changed = 0;  // ticks of the file clock
};

std::optional<Stamp> stamp_of(const fs::path& path) {
  std::error_code problem;
  const auto bytes = fs::file_size(path, problem);
  if (problem) return std::nullopt;
  const auto changed = fs::last_write_time(path, problem);
  if (problem) return std::nullopt;
  return Stamp{bytes, static_cast<std::int64_t>(changed.time_since_epoch().count())};
}

fs::path note_path(const fs::path& path) {
  return path.string() + ".sha256";
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// The fields of a note of ours, whatever file it was made for.
struct ParsedNote {
  SumNote note;
  Stamp stamp;
};

Result<ParsedNote> parse_note(const fs::path& path) {
  BH_TRY(auto text, read_text_file(path.string(), 4096));
  BH_TRY(const auto document, JsonDocument::parse(std::move(text), path.string()));
  const JsonView root(document);
  ParsedNote parsed;
  BH_TRY(const auto sum, root.at("sha256"));
  BH_TRY(parsed.note.sha256, sum.string());
  BH_TRY(const auto verified, root.at("verified"));
  BH_TRY(parsed.note.verified, verified.boolean());
  BH_TRY(const auto bytes, root.at("bytes"));
  BH_TRY(const auto size, bytes.integer(0, INT64_MAX));
  parsed.stamp.bytes = static_cast<std::uint64_t>(size);
  BH_TRY(const auto changed, root.at("changed"));
  BH_TRY(parsed.stamp.changed, changed.integer(INT64_MIN, INT64_MAX));
  return parsed;
}

Error not_pulled(const ManifestModel& model) {
  return Error{ErrorCode::kUsage,
               fmt::format("the model {} has not been pulled yet", model.name),
               {},
               fmt::format("run: bulkhead pull {}", model.name)};
}

Result<fs::path> find_named(const ManifestModel& model, const Environment& environment) {
  const auto path = environment.models_folder / model.file;
  if (!is_file(path)) return not_pulled(model);
  std::error_code problem;
  const auto bytes = fs::file_size(path, problem);
  if (!problem && model.bytes && bytes != *model.bytes) {
    return Error{ErrorCode::kCorrupt, fmt::format("the file has {} bytes; {} has {}", bytes, model.name, *model.bytes),
                 path.string(), fmt::format("run: bulkhead pull {}", model.name)};
  }
  return path;
}

Result<std::string> folder_sha256(const fs::path& folder) {
  std::set<fs::path> files;
  std::error_code problem;
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) {
    const bool hidden = entry->path().filename().string().starts_with('.');
    if (is_file(entry->path()) && !hidden && entry->path().extension() != ".sha256") files.insert(entry->path());
  }
  if (problem) return Error{ErrorCode::kResource, "cannot read the folder", folder.string(), {}};
  std::string lines;
  for (const auto& file : files) {
    BH_TRY(const auto sum, model_sha256(file));
    lines += fmt::format("{}  {}\n", sum, file.filename().string());
  }
  return sha256_hex(lines);
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
  if (!path.empty() && !path.has_parent_path() && path.extension() == ".gguf") {
    if (is_file(environment.models_folder / path)) return environment.models_folder / path;
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
    std::error_code problem;
    const auto bytes = fs::file_size(path, problem);
    const bool pulled = !problem && is_file(path) && (!model.bytes || *model.bytes == bytes);
    listed.push_back({model.name, model.aliases, model.description, model.licence, path, pulled, true, model.chat,
                      pulled ? std::optional(bytes) : model.bytes});
    known.insert(model.file);
  }
  std::vector<ListedModel> others;
  std::error_code problem;
  for (fs::directory_iterator entry(environment.models_folder, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    const auto name = entry->path().filename().string();
    if (name.starts_with('.') || entry->path().extension() != ".gguf" || known.contains(name)) continue;
    if (!is_file(entry->path())) continue;
    std::error_code unreadable;
    const auto bytes = entry->file_size(unreadable);
    others.push_back({name,
                      {},
                      {},
                      {},
                      entry->path(),
                      true,
                      false,
                      false,
                      unreadable ? std::nullopt : std::optional<std::uint64_t>(bytes)});
  }
  std::sort(others.begin(), others.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::move(others.begin(), others.end(), std::back_inserter(listed));
  return listed;
}

Result<std::string> model_sha256(const fs::path& path, const std::function<void(std::uint64_t)>& progress) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return folder_sha256(path);
  if (const auto note = read_sum_note(path)) return note->sha256;
  const auto before = stamp_of(path);
  BH_TRY(auto sum, sha256_of_file(path, progress));
  const auto after = stamp_of(path);
  // A file that is being written while it is read gets no note.
  if (before && after && before->bytes == after->bytes && before->changed == after->changed) {
    write_sum_note(path, {sum, false});
  }
  return sum;
}

std::optional<SumNote> read_sum_note(const fs::path& path) {
  const auto stamp = stamp_of(path);
  if (!stamp) return std::nullopt;
  const auto parsed = parse_note(note_path(path));
  if (!parsed.ok() || parsed->stamp.bytes != stamp->bytes || parsed->stamp.changed != stamp->changed)
    return std::nullopt;
  return parsed->note;
}

void write_sum_note(const fs::path& path, const SumNote& note) {
  const auto stamp = stamp_of(path);
  std::error_code ignored;
  const auto beside = note_path(path);
  // FILE.sha256 is also what sha256sum users call their own notes.
  if (!stamp || (fs::exists(beside, ignored) && !parse_note(beside).ok())) return;
  Json json;
  json["sha256"] = note.sha256;
  json["verified"] = note.verified;
  json["bytes"] = stamp->bytes;
  json["changed"] = stamp->changed;
  // Without the note the sum is computed again next time; that is all.
  [[maybe_unused]] const auto written = store::write_file_atomically(beside, json_text(json) + "\n");
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
