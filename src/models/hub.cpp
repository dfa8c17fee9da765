// SPDX-License-Identifier: MIT
#include "models/hub.h"

#include "base/file_identity.h"
#include "base/json.h"
#include "base/printable.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

namespace bulkhead::models {
namespace {

constexpr std::string_view kDefaultQuant = "Q4_K_M";
constexpr std::uint64_t kMostAnswerBytes = 16ULL << 20U;

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool is_model_file(std::string_view path) {
  const auto name = lower_case(base_name(path));
  return name.ends_with(".gguf") && name.find("mmproj") == std::string::npos &&
         name.find("imatrix") == std::string::npos;
}

// The part of a split model that a path names, also with ".GGUF".
std::optional<ModelPart> part_of(std::string_view path) {
  return model_part(lower_case(base_name(path)));
}

bool is_later_part(std::string_view path) {
  const auto part = part_of(path);
  return part && part->number > 1;
}

// Whether the file name holds `quant` as a word: Q4_K is not in model-Q4_K_M.gguf, nor Q4_NL in model-IQ4_NL.gguf.
bool holds_quant(std::string_view path, std::string_view quant) {
  const auto name = lower_case(base_name(path));
  const auto word = lower_case(quant);
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  for (auto at = name.find(word); at != std::string::npos; at = name.find(word, at + 1)) {
    const auto after = at + word.size();
    const bool starts = at == 0 || !is_word(name[at - 1]);
    const bool ends = after == name.size() || (!is_word(name[after]) && name[after] != '_');
    if (starts && ends) return true;
  }
  return false;
}

Error pick_error(ErrorCode code, std::string message, const std::vector<std::string>& files, const HubSpec& spec) {
  std::vector<std::string> models;
  std::copy_if(files.begin(), files.end(), std::back_inserter(models), is_model_file);
  return Error{code, std::move(message), spec.repo,
               models.empty()
                   ? std::string("take a repository with GGUF files")
                   : fmt::format("its GGUF files: {}; name one as {}:FILE", fmt::join(models, ", "), spec.repo)};
}

Result<HubFile> read_sibling(const JsonView& view, const std::string& repo) {
  HubFile file;
  file.source.repo = repo;
  BH_TRY(const auto name, view.at("rfilename"));
  BH_TRY(file.source.file, name.string());
  auto size_of = view;
  if (view.has("lfs")) {
    BH_TRY(const auto lfs, view.at("lfs"));
    for (const auto* key : {"sha256", "oid"}) {
      if (!file.sha256.empty()) break;
      BH_TRY(const auto sum, lfs.string_or(key, ""));
      file.sha256 = sha256_in_etag(sum);
    }
    if (lfs.has("size")) size_of = lfs;
  }
  if (size_of.has("size")) {
    BH_TRY(const auto size, size_of.at("size"));
    BH_TRY(const auto bytes, size.integer(0, INT64_MAX));
    file.bytes = static_cast<std::uint64_t>(bytes);
  }
  return file;
}

// A path below the folder it is put into, with nothing in it that a terminal would do something else with than show it.
bool stays_inside(std::string_view path) {
  if (path.find('\\') != std::string_view::npos || printable(path, LineBreaks::kEscape) != path) {
    return false;
  }
  for (;;) {
    const auto slash = path.find('/');
    const auto name = path.substr(0, slash);
    if (name.empty() || name == "." || name == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_commit(std::string_view text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<HubListing> read_listing(std::string body, const std::string& url, const std::string& repo) {
  BH_TRY(const auto document, JsonDocument::parse(std::move(body), url));
  const JsonView root(document);
  BH_TRY(const auto siblings, root.at("siblings"));
  BH_TRY(const auto items, siblings.items());
  HubListing listing;
  BH_TRY(listing.revision, root.string_or("sha", ""));
  if (!is_commit(listing.revision)) listing.revision = "main";
  for (const auto& item : items) {
    BH_TRY(auto file, read_sibling(item, repo));
    // Nothing of a hub that tries this is worth having.
    if (!stays_inside(file.source.file))
      return item.fail(fmt::format("\"{}\" is no path inside a repository", file.source.file));
    listing.files.push_back(std::move(file));
  }
  return listing;
}

}  // namespace

Result<HubSpec> parse_hub_spec(std::string_view text) {
  const auto colon = text.find(':');
  HubSpec spec{std::string(text.substr(0, colon)), {}};
  if (colon != std::string_view::npos) spec.wanted = text.substr(colon + 1);
  if (!is_hub_repo(spec.repo) || (colon != std::string_view::npos && spec.wanted.empty())) {
    return Error{ErrorCode::kUsage,
                 fmt::format("\"{}\" does not name a hub repository", text),
                 {},
                 "write user/repo or user/repo:QUANT, such as user/repo:Q4_K_M"};
  }
  return spec;
}

bool fits_hub_spec(std::string_view file, const HubSpec& spec) {
  if (!spec.wanted.empty() && (file == spec.wanted || base_name(file) == spec.wanted)) return true;
  return is_model_file(file) && holds_quant(file, spec.wanted.empty() ? kDefaultQuant : spec.wanted);
}

Result<std::string> pick_hub_file(const std::vector<std::string>& files, const HubSpec& spec) {
  const auto exact = std::find(files.begin(), files.end(), spec.wanted);
  if (exact != files.end()) return part_of(*exact) ? name_of_part(*exact, 1) : *exact;
  std::vector<std::string> fitting;
  std::copy_if(files.begin(), files.end(), std::back_inserter(fitting),
               [&](const auto& file) { return !is_later_part(file) && fits_hub_spec(file, spec); });
  if (fitting.empty() && spec.wanted.empty()) {
    std::copy_if(files.begin(), files.end(), std::back_inserter(fitting),
                 [](const auto& file) { return is_model_file(file) && !is_later_part(file); });
    if (fitting.size() != 1) fitting.clear();
  }
  if (std::any_of(fitting.begin(), fitting.end(), [](const auto& file) { return !part_of(file); })) {
    std::erase_if(fitting, [](const auto& file) { return part_of(file).has_value(); });
  }
  const std::string wanted = spec.wanted.empty() ? std::string(kDefaultQuant) : spec.wanted;
  if (fitting.empty()) {
    return pick_error(ErrorCode::kUsage, fmt::format("the repository has no {} file", wanted), files, spec);
  }
  if (fitting.size() > 1) {
    return pick_error(ErrorCode::kUsage, fmt::format("{} files of the repository fit {}", fitting.size(), wanted),
                      files, spec);
  }
  return fitting.front();
}

Result<HubListing> list_hub(const std::string& repo, const Environment& environment, const std::stop_token& stop) {
  if (environment.hub_offline) {
    return Error{ErrorCode::kRemote, "HF_HUB_OFFLINE is set, so the hub is not asked", repo,
                 "unset HF_HUB_OFFLINE to pull it"};
  }
  auto options = environment.http;
  options.bearer_token = environment.hub_token;
  options.login = environment.hub_login;
  options.stop = stop;
  const auto url = fmt::format("{}/api/models/{}?blobs=true", environment.hub_endpoint, net::escape_path(repo));
  auto response = net::get(url, kMostAnswerBytes, options);
  if (!response.ok()) return with_token_advice(std::move(response).error(), repo, environment);
  auto listing = read_listing(std::move(response->body), url, repo);
  if (!listing.ok()) {
    return Error{ErrorCode::kRemote, "the hub's answer makes no sense: " + listing.error().message,
                 listing.error().place, "check HF_ENDPOINT"};
  }
  return listing;
}

Result<std::vector<HubFile>> pick_from(const HubListing& listing, const HubSpec& spec) {
  std::vector<std::string> names;
  names.reserve(listing.files.size());
  for (const auto& file : listing.files) names.push_back(file.source.file);
  BH_TRY(const auto picked, pick_hub_file(names, spec));
  const auto part = part_of(picked);
  std::vector<HubFile> files;
  for (unsigned number = 1; number <= (part ? part->count : 1); ++number) {
    const auto name = part ? name_of_part(picked, number) : picked;
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      return Error{ErrorCode::kRemote, fmt::format("the repository lacks a part of the model: {}", name), spec.repo,
                   "tell the repository's owner, or take another one"};
    }
    files.push_back(listing.files[static_cast<std::size_t>(found - names.begin())]);
  }
  return files;
}

std::string hub_url(const HubSource& source, const Environment& environment, const std::string& revision) {
  return fmt::format("{}/{}/resolve/{}/{}", environment.hub_endpoint, net::escape_path(source.repo), revision,
                     net::escape_path(source.file));
}

Error with_token_advice(Error error, const std::string& repo, const Environment& environment) {
  if (error.advice.find("token") == std::string::npos) return error;
  error.advice += fmt::format("; accept its terms at {}/{} if it has some", environment.hub_endpoint, repo);
  error.advice += environment.hub_token.empty()
                      ? fmt::format(", make a token at {}/settings/tokens, and set HF_TOKEN", environment.hub_endpoint)
                      : ", with the account that the token is of";
  return error;
}

std::string local_name(const HubSource& source) {
  constexpr std::string_view kEnd = ".gguf";
  const bool in_capitals = lower_case(source.file).ends_with(kEnd) && !source.file.ends_with(kEnd);
  std::string name;
  const auto path = fmt::format("{}/{}", source.repo, source.file);
  for (std::size_t i = 0; i < path.size(); ++i) {
    const bool at_edge =
        i == 0 || path[i - 1] == '/' || path[i - 1] == '-' || i + 1 == path.size() || path[i + 1] == '/';
    if (path[i] == '/') {
      name += "--";
    } else if (path[i] == '%') {
      name += "%25";
    } else if (path[i] == '-' && at_edge) {
      name += "%2D";
    } else {
      name += path[i];
    }
  }
  if (!in_capitals) return name;
  // Both may be in one repository; libllama knows parts by the lower-case end only.
  const auto end = name.size() - kEnd.size();
  const auto mark = fmt::format("%2E{}--", name.substr(end + 1));
  name.replace(end, kEnd.size(), kEnd);
  return name.insert(local_name({source.repo, ""}).size(), mark);
}

std::string sha256_in_etag(std::string_view etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  const auto sum = lower_case(etag);
  return sum.size() == 64 && sum.find_first_not_of("0123456789abcdef") == std::string::npos ? sum : std::string();
}

}  // namespace bulkhead::models
