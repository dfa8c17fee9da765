// SPDX-License-Identifier: MIT
// Whole repositories of the hub: checkpoints of Transformers and MLX models, which are folders.
//
// Thread rule: callable from any thread; two pulls of one repository, in whatever processes, wait for each other.
#pragma once

#include "models/environment.h"
#include "models/hub.h"
#include "models/pull.h"

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace bulkhead::models {

// Whether its top folder has a config.json and weights in safetensors.
[[nodiscard]] bool holds_checkpoint(const HubListing& listing);

// What an engine needs of it: in the top folder all .json, .jinja, .txt and .model files, and the weights in
// safetensors; no weights in other formats, no code, nothing of folders. Of weights that are there in two forms
// (consolidated.safetensors) the one named model is taken. kUsage when there is no checkpoint.
[[nodiscard]] Result<std::vector<HubFile>> checkpoint_files(const HubListing& listing, const std::string& repo);

// Where the repository lies once it was pulled: "user--repo" in the models folder.
[[nodiscard]] std::filesystem::path repository_folder(const std::string& repo, const Environment& environment);

// The repository as it was pulled before, its files having the sizes they had then; nobody is asked.
[[nodiscard]] std::optional<PulledModel> repository_here(const std::string& repo, const Environment& environment);

// Brings the files of one revision into repository_folder(): there whole or not at all. Every file is checked by size,
// and by SHA-256 where the hub keeps one (weights, large tokenizers); until all are, they lie in `.staging`, where a
// later pull goes on. Errors as of pull(); kCorrupt also when model.safetensors.index.json names weights that the
// repository does not have.
[[nodiscard]] Result<PulledModel> pull_repository(const std::string& repo, const HubListing& listing,
                                                  const Environment& environment, const PullProgress& progress,
                                                  const std::stop_token& stop);

}  // namespace bulkhead::models
