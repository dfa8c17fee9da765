// SPDX-License-Identifier: MIT
#include "store/folder_seal.h"

#include "base/hash.h"
#include "store/generation.h"
#include "store/plain_file.h"

#include <fmt/format.h>

#include <utility>

namespace bulkhead::store {
namespace {

constexpr std::uint64_t kMostManifestBytes = 16ULL << 20U;

std::string text_of(const Json& manifest) {
  return json_text(manifest, JsonForm::kPretty) + '\n';
}

Error damaged(const std::filesystem::path& path, std::string message) {
  return {ErrorCode::kCorrupt, std::move(message), path.string(),
          "the file was changed or belongs to another run: run again, or take the folder from where it came"};
}

bool is_sum(const Json& value) {
  return value.is_string() && value.get_ref<const std::string&>().size() == 64;
}

// A name of a document is a plain file name: it comes from a file that anybody may have written.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name.front() != '.' && name.find('/') == std::string::npos && name != kManifest;
}

bool has_form(const Json& manifest) {
  if (!manifest.is_object() || !manifest.contains("sha256") || !is_sum(manifest["sha256"])) return false;
  if (!manifest.contains("kind") || !manifest["kind"].is_string()) return false;
  if (!manifest.contains("documents") || !manifest["documents"].is_object()) return false;
  for (const auto& [name, sum] : manifest["documents"].items()) {
    if (!is_plain_name(name) || !is_sum(sum)) return false;
  }
  return true;
}

}  // namespace

std::string sealed_manifest(std::string_view kind, const Json& about, const std::map<std::string, std::string>& sums) {
  Json manifest = {{"kind", kind}};
  if (about.is_object()) manifest.update(about);
  manifest["documents"] = sums;
  // As a reader will have it: what is no UTF-8 is replaced once, here.
  if (auto read = parse_json(text_of(manifest)); read.ok()) manifest = std::move(read).value();
  manifest["sha256"] = sha256_hex(text_of(manifest));
  return text_of(manifest);
}

Result<FolderSeal> FolderSeal::read(const std::filesystem::path& folder) {
  FolderSeal seal;
  seal.folder_ = folder;
  const auto path = current_path(folder, std::string(kManifest));
  BH_TRY(auto text, read_plain_file(path, kMostManifestBytes));
  const auto document = JsonDocument::parse(std::move(text), path.string());
  if (!document.ok()) return damaged(path, document.error().message);
  seal.manifest_ = document.value().root();
  if (!has_form(seal.manifest_)) return damaged(path, "is no manifest of a run, an evaluation or a comparison");
  auto unsealed = seal.manifest_;
  unsealed.erase("sha256");
  if (seal.manifest_["sha256"].get<std::string>() != sha256_hex(text_of(unsealed))) {
    return damaged(path, "its own SHA-256 does not match what it says");
  }
  seal.kind_ = seal.manifest_["kind"];
  seal.manifest_["documents"].get_to(seal.sums_);
  return seal;
}

std::filesystem::path FolderSeal::path_of(const std::string& name) const {
  return current_path(folder_, name);
}

Result<std::string> FolderSeal::document(const std::string& name, std::uint64_t limit_bytes) const {
  const auto path = path_of(name);
  const auto named = sums_.find(name);
  if (named == sums_.end()) {
    return Error{ErrorCode::kBadInput, fmt::format("there is no {} of this {}", name, kind_), folder_.string(), {}};
  }
  BH_TRY(auto bytes, read_plain_file(path, limit_bytes));
  if (sha256_hex(bytes) != named->second) return damaged(path, "is not the document that manifest.json names");
  return bytes;
}

Result<void> FolderSeal::check() const {
  for (const auto& [name, named] : sums_) {
    const auto path = path_of(name);
    const auto sum = sha256_of_plain_file(path);
    if (!sum.ok() && sum.error().code == ErrorCode::kBadInput) continue;
    if (!sum.ok()) return sum.error();
    if (sum.value() != named) return damaged(path, "is not the document that manifest.json names");
  }
  return {};
}

}  // namespace bulkhead::store
