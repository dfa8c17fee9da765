// SPDX-License-Identifier: MIT
#include "models/manifest.h"

#include "base/json.h"
#include "embedded/model_manifest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <utility>

namespace bulkhead::models {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 50;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

// Letters, digits and ._- only, beginning with a letter or digit: cannot be an option, a hidden file or a way up.
bool is_plain_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_plain) && text[0] != '.' && text[0] != '-' &&
         text[0] != '_' && text.find("..") == std::string_view::npos;
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_pinned_package(std::string_view text) {
  const auto equals = text.find("==");
  return equals != std::string_view::npos && is_plain_name(text.substr(0, equals)) &&
         is_plain_name(text.substr(equals + 2));
}

// A path inside a repository: plain names between slashes.
bool is_repo_path(std::string_view text) {
  for (;;) {
    const auto slash = text.find('/');
    if (!is_plain_name(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

Result<std::string> checked_string(const JsonView& object, std::string_view key, bool (*valid)(std::string_view),
                                   std::string_view wanted) {
  BH_TRY(const auto field, object.at(key));
  BH_TRY(auto text, field.string());
  if (!valid(text)) return field.fail(fmt::format("\"{}\" is not {}", text, wanted));
  return text;
}

bool is_any(std::string_view text) {
  return !text.empty();
}

Result<Source> read_hub_source(const JsonView& view) {
  BH_CHECK(view.only({"kind", "repo", "file"}));
  HubSource source;
  BH_TRY(source.repo, checked_string(view, "repo", is_hub_repo, "a repository such as user/repo"));
  BH_TRY(source.file, checked_string(view, "file", is_repo_path, "a path inside a repository"));
  return Source(std::move(source));
}

Result<Source> read_package_source(const JsonView& view) {
  BH_CHECK(view.only({"kind", "packages", "member"}));
  PackageSource source;
  BH_TRY(const auto list, view.at("packages"));
  BH_TRY(source.packages, list.strings());
  if (source.packages.empty()) return list.fail("the list of packages is empty");
  for (const auto& package : source.packages) {
    if (!is_pinned_package(package)) return list.fail(fmt::format("\"{}\" is not of the form name==version", package));
  }
  BH_TRY(source.member, checked_string(view, "member", is_any, "a pattern"));
  return Source(std::move(source));
}

Result<Source> read_source(const JsonView& view) {
  BH_TRY(const auto kind, view.at("kind"));
  BH_TRY(const auto word, kind.string());
  if (word == "hub") return read_hub_source(view);
  if (word == "packages") return read_package_source(view);
  return kind.fail(fmt::format("unknown kind of source \"{}\"", word), "known: hub, packages");
}

Result<ManifestModel> read_model(const JsonView& view) {
  BH_CHECK(view.only({"name", "aliases", "file", "bytes", "sha256", "licence", "description", "chat", "sources"}));
  ManifestModel model;
  BH_TRY(model.name, checked_string(view, "name", is_plain_name, "a plain name"));
  BH_TRY(model.file, checked_string(view, "file", is_plain_name, "a plain file name"));
  BH_TRY(model.sha256, checked_string(view, "sha256", is_sha256, "64 lower-case hex digits"));
  BH_TRY(model.licence, checked_string(view, "licence", is_any, "a licence"));
  BH_TRY(model.description, view.string_or("description", ""));
  BH_TRY(model.chat, view.boolean_or("chat", false));
  if (view.has("aliases")) {
    BH_TRY(const auto aliases, view.at("aliases"));
    BH_TRY(model.aliases, aliases.strings());
  }
  if (view.has("bytes")) {
    BH_TRY(const auto field, view.at("bytes"));
    BH_TRY(const auto bytes, field.integer(1, kMostBytes));
    model.bytes = static_cast<std::uint64_t>(bytes);
  }
  BH_TRY(const auto list, view.at("sources"));
  BH_TRY(const auto sources, list.items());
  if (sources.empty()) return list.fail("a model needs a source");
  for (const auto& item : sources) {
    BH_TRY(auto source, read_source(item));
    model.sources.push_back(std::move(source));
  }
  return model;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_hub_repo(std::string_view text) {
  const auto slash = text.find('/');
  return slash != std::string_view::npos && is_plain_name(text.substr(0, slash)) &&
         is_plain_name(text.substr(slash + 1));
}

Result<Manifest> Manifest::parse(std::string text, std::string name) {
  BH_TRY(const auto document, JsonDocument::parse(std::move(text), std::move(name)));
  const JsonView root(document);
  BH_CHECK(root.only({"models"}));
  BH_TRY(const auto list, root.at("models"));
  BH_TRY(const auto items, list.items());
  Manifest manifest;
  std::set<std::string> names;
  std::set<std::string> files;
  for (const auto& item : items) {
    BH_TRY(auto model, read_model(item));
    std::vector<std::string> own = model.aliases;
    own.push_back(model.name);
    for (const auto& each : own) {
      if (!names.insert(lower_case(each)).second) return item.fail(fmt::format("the name \"{}\" is taken", each));
    }
    if (!files.insert(model.file).second) return item.fail(fmt::format("the file \"{}\" is taken", model.file));
    manifest.models_.push_back(std::move(model));
  }
  return manifest;
}

const Manifest& Manifest::built_in() {
  static const Manifest manifest = [] {
    auto parsed = parse(std::string(embedded::model_manifest()[0].content), "models/manifest.json");
    // Only a broken build gets here; a test reads the same file.
    if (!parsed.ok()) std::abort();
    return std::move(parsed).value();
  }();
  return manifest;
}

const ManifestModel* Manifest::find(std::string_view name) const {
  const auto wanted = lower_case(name);
  for (const auto& model : models_) {
    if (lower_case(model.name) == wanted) return &model;
    for (const auto& alias : model.aliases) {
      if (lower_case(alias) == wanted) return &model;
    }
  }
  return nullptr;
}

std::string Manifest::names() const {
  std::vector<std::string_view> names;
  names.reserve(models_.size());
  for (const auto& model : models_) names.emplace_back(model.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace bulkhead::models
