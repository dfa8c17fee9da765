// SPDX-License-Identifier: MIT
#include "models/repository.h"

#include "base/hash.h"
#include "base/json.h"
#include "models/hub_download.h"
#include "models/known_sums.h"
#include "models/model_files.h"
#include "models/staging.h"
#include "store/safe_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndex = "model.safetensors.index.json";
// What was pulled, in the folder itself. Hidden, so that it is no part of the model.
constexpr std::string_view kNote = ".pulled.json";

bool in_top_folder(const HubFile& file) {
  return file.source.file.find('/') == std::string::npos && !file.source.file.starts_with('.');
}

bool are_weights(const HubFile& file) {
  return in_top_folder(file) && file.source.file.ends_with(".safetensors");
}

bool is_needed(const HubFile& file) {
  constexpr std::array<std::string_view, 5> kEnds = {".json", ".jinja", ".txt", ".model", ".safetensors"};
  return in_top_folder(file) &&
         std::any_of(kEnds.begin(), kEnds.end(), [&](auto end) { return file.source.file.ends_with(end); });
}

// The weights that the index of a model in several files names, as far as `files` lack them.
Result<void> check_index(const fs::path& folder, const std::vector<HubFile>& files) {
  std::error_code ignored;
  if (!fs::exists(folder / kIndex, ignored)) return {};
  BH_TRY(auto text, read_text_file((folder / kIndex).string()));
  BH_TRY(const auto document, JsonDocument::parse(std::move(text), std::string(kIndex)));
  BH_TRY(const auto map, JsonView(document).at("weight_map"));
  BH_TRY(const auto members, map.members());
  std::set<std::string> names;
  for (const auto& [tensor, view] : members) {
    BH_TRY(auto name, view.string());
    names.insert(std::move(name));
  }
  for (const auto& name : names) {
    if (std::none_of(files.begin(), files.end(), [&](const HubFile& file) { return file.source.file == name; }))
      return Error{ErrorCode::kCorrupt, fmt::format("its index names {}, which is not there", name),
                   files.front().source.repo, "tell the repository's owner, or take another one"};
  }
  return {};
}

class RepositoryPull {
 public:
  RepositoryPull(std::string repo, std::string revision, std::vector<HubFile> files, const Environment& environment,
                 const PullProgress& progress, const std::stop_token& stop)
      : repo_(std::move(repo)),
        revision_(std::move(revision)),
        files_(std::move(files)),
        environment_(environment),
        progress_(progress),
        stop_(stop) {
    // Small ones first: what is wrong with a model is found before its weights are fetched.
    std::stable_sort(files_.begin(), files_.end(),
                     [](const auto& a, const auto& b) { return !are_weights(a) && are_weights(b); });
    for (const auto& file : files_) total_ += file.bytes.value_or(0);
  }

  Result<PulledModel> run() {
    BH_TRY(const auto lock, lock_staging(staging_, repo_, progress_, stop_));
    if (auto there = repository_here(repo_, environment_)) return *std::move(there);
    BH_CHECK(leave_others_alone());
    BH_CHECK(make_staging(staging_));
    BH_CHECK(make_staging(whole_));
    BH_CHECK(forget_others());
    BH_CHECK(check_space(repo_, total_ - std::min(total_, there()), staging_, environment_));
    say(fmt::format("pulling {} files of hub {} at {}", files_.size(), repo_, revision_));
    for (const auto& file : files_) {
      if (are_weights(file)) BH_CHECK(check_index(whole_, files_));
      BH_CHECK(fetch(file));
      done_ += size_of(whole_ / file.source.file);
    }
    return finish();
  }

 private:
  // Bytes in the staging folder already.
  [[nodiscard]] std::uint64_t there() const {
    std::uint64_t bytes = 0;
    for (const auto& file : files_) bytes += size_of(whole_ / file.source.file) + size_of(part_of(file));
    return bytes;
  }

  [[nodiscard]] fs::path part_of(const HubFile& file) const { return staging_ / (file.source.file + ".part"); }

  // Only a folder that a pull has made may be replaced.
  [[nodiscard]] Result<void> leave_others_alone() const {
    const auto final = repository_folder(repo_, environment_);
    std::error_code ignored;
    if (!fs::exists(final, ignored) || fs::exists(final / kNote, ignored)) return {};
    return Error{ErrorCode::kResource, "something that was not pulled lies in its place", final.string(),
                 "move it away, or name it with -m"};
  }

  // Files that an earlier revision had and this one has not.
  [[nodiscard]] Result<void> forget_others() const {
    std::set<fs::path> known;
    for (const auto& file : files_) known.insert(whole_ / file.source.file);
    std::error_code problem;
    std::vector<fs::path> others;
    for (const auto& entry : fs::directory_iterator(whole_, problem)) {
      auto path = entry.path();
      if (path.extension() == ".sha256") path.replace_extension();
      if (!known.contains(path)) others.push_back(entry.path());
    }
    for (const auto& path : others) fs::remove(path, problem);
    if (problem) return Error{ErrorCode::kResource, "cannot clear the folder of an earlier pull", whole_.string(), {}};
    return {};
  }

  // Whole and right in the staging folder, from this pull or an earlier one.
  [[nodiscard]] bool is_whole(const HubFile& file) const {
    const auto path = whole_ / file.source.file;
    if (!is_plain_file(path) || (file.bytes && size_of(path) != *file.bytes)) return false;
    // Without a sum there is no telling whether it is of this revision: such files are small.
    if (file.sha256.empty()) return false;
    const auto sum = sum_of_file(path);
    return sum.ok() && sum->sha256 == file.sha256;
  }

  Result<void> fetch(const HubFile& file) {
    if (is_whole(file)) return {};
    PullProgress progress{progress_.note, {}};
    if (progress_.bytes)
      progress.bytes = [this](std::uint64_t done, std::uint64_t) { progress_.bytes(done_ + done, total_); };
    const auto part = part_of(file);
    BH_TRY(const auto sum, download_from_hub(file, revision_, part, environment_, progress, stop_));
    if (!sum.verified && are_weights(file)) {
      say(fmt::format("unverified: the hub gives no SHA-256 for {}", file.source.file));
    }
    BH_CHECK(store::move_into_place(part, whole_ / file.source.file));
    keep_sum(whole_ / file.source.file, sum);
    return {};
  }

  Result<PulledModel> finish() {
    Json note = {{"repo", repo_}, {"revision", revision_}, {"files", Json::object()}};
    for (const auto& file : files_) note["files"][file.source.file] = size_of(whole_ / file.source.file);
    BH_TRY(note["sha256"], model_sha256(whole_));
    BH_CHECK(store::write_file_atomically(whole_ / kNote, json_text(note, JsonForm::kPretty) + "\n"));
    const auto final = repository_folder(repo_, environment_);
    std::error_code ignored;
    // What lies there was found wanting, or we would not be here.
    fs::remove_all(final, ignored);
    BH_CHECK(store::move_into_place(whole_, final));
    fs::remove_all(staging_, ignored);
    auto pulled = repository_here(repo_, environment_);
    if (!pulled) return Error{ErrorCode::kInternal, "what was pulled is not there", final.string(), {}};
    pulled->fetched = true;
    pulled->source = "hub " + repo_;
    return *std::move(pulled);
  }

  void say(const std::string& line) const {
    if (progress_.note) progress_.note(line);
  }

  std::string repo_;
  std::string revision_;
  std::vector<HubFile> files_;
  const Environment& environment_;
  const PullProgress& progress_;
  const std::stop_token& stop_;
  fs::path staging_ = environment_.models_folder / ".staging" / repository_folder(repo_, environment_).filename();
  fs::path whole_ = staging_ / "whole";
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace

bool holds_checkpoint(const HubListing& listing) {
  const auto& files = listing.files;
  return std::any_of(files.begin(), files.end(), are_weights) &&
         std::any_of(files.begin(), files.end(), [](const auto& file) { return file.source.file == "config.json"; });
}

Result<std::vector<HubFile>> checkpoint_files(const HubListing& listing, const std::string& repo) {
  if (!holds_checkpoint(listing)) {
    return Error{ErrorCode::kUsage, "the repository has no config.json with weights in safetensors", repo,
                 "take one with safetensors, or with GGUF files for --engine llama"};
  }
  std::vector<HubFile> files;
  std::copy_if(listing.files.begin(), listing.files.end(), std::back_inserter(files), is_needed);
  const bool named_model = std::any_of(files.begin(), files.end(), [](const auto& file) {
    return are_weights(file) && file.source.file.starts_with("model");
  });
  if (named_model) {
    std::erase_if(files, [](const auto& file) { return are_weights(file) && !file.source.file.starts_with("model"); });
  }
  return files;
}

fs::path repository_folder(const std::string& repo, const Environment& environment) {
  auto name = local_name({repo, ""});
  return environment.models_folder / name.substr(0, name.size() - std::string_view("--").size());
}

std::optional<PulledModel> repository_here(const std::string& repo, const Environment& environment) {
  const auto folder = repository_folder(repo, environment);
  constexpr std::uint64_t kMostBytes = 1U << 20U;
  auto text = read_text_file((folder / kNote).string(), kMostBytes);
  if (!text.ok()) return std::nullopt;
  const auto document = JsonDocument::parse(*std::move(text), (folder / kNote).string());
  if (!document.ok()) return std::nullopt;
  const auto files = JsonView(*document).at("files");
  if (!files.ok()) return std::nullopt;
  const auto members = files->members();
  if (!members.ok()) return std::nullopt;
  std::uint64_t bytes = 0;
  bool verified = true;
  for (const auto& [name, view] : *members) {
    const auto size = view.integer(0, INT64_MAX);
    const auto path = folder / name;
    if (!size.ok() || !is_plain_file(path) || size_of(path) != static_cast<std::uint64_t>(*size)) return std::nullopt;
    bytes += static_cast<std::uint64_t>(*size);
    // The small files of a repository are not kept under a SHA-256 by the hub.
    verified = verified && (!name.ends_with(".safetensors") || model_verified(path));
  }
  auto sum = model_sha256(folder);
  const auto noted = JsonView(*document).string_or("sha256", "");
  // A folder of an earlier version of Bulkhead has none.
  if (!sum.ok() || !noted.ok() || (!noted->empty() && *noted != *sum)) return std::nullopt;
  return PulledModel{folder, *std::move(sum), bytes, verified, false, "models folder"};
}

Result<PulledModel> pull_repository(const std::string& repo, const HubListing& listing, const Environment& environment,
                                    const PullProgress& progress, const std::stop_token& stop) {
  BH_TRY(auto files, checkpoint_files(listing, repo));
  return RepositoryPull(repo, listing.revision, std::move(files), environment, progress, stop).run();
}

}  // namespace bulkhead::models
