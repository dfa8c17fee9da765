// SPDX-License-Identifier: MIT
// Getting a model: from the manifest, from a hub repository (a GGUF file, or all of a checkpoint), or a file that is
// here already.
//
// Thread rule: callable from any thread; two pulls of one model, in whatever processes, wait for each other.
#pragma once

#include "models/environment.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

namespace bulkhead::models {

struct PullRequest {
  enum class Kind {
    kNameOrFile,     // a name or alias of the manifest, else the path of a GGUF file
    kHub,            // user/repo or user/repo:QUANT: a GGUF file
    kHubCheckpoint,  // user/repo: the whole repository, a checkpoint or MLX model; user/repo:QUANT as kHub
    kHubAny,         // user/repo: a GGUF file where there is one, else as kHubCheckpoint
  };
  Kind kind = Kind::kNameOrFile;
  std::string text;
};

// What a pull tells while it goes on, on the calling thread. Both may be empty.
struct PullProgress {
  std::function<void(std::string_view line)> note;                     // what is being done, why a source failed
  std::function<void(std::uint64_t done, std::uint64_t total)> bytes;  // total 0: not known
};

struct PulledModel {
  std::filesystem::path path;  // a file, the first part of a split model, or a folder
  std::string sha256;          // as model_sha256() has it
  std::uint64_t bytes = 0;
  bool verified = false;  // the sums of its files are those that the manifest or the hub promises
  bool fetched = false;   // false: it was here already, nothing was downloaded
  std::string source;     // where it came from: "hub user/repo", "packages NAME...", "file", "models folder"
};

// Brings a model into environment.models_folder; a file is only checked and stays where it is. Sources are tried in
// order. A model gets its final name after its SHA-256 was found right, all parts of a split one after those of all
// were; until then its bytes lie in `.staging` in the models folder, where a later pull goes on with them. A file there
// with a wrong sum is replaced, a symbolic link as well: none below the models folder is followed. kUsage: unknown
// name, no such file, no such quantization. kCorrupt: wrong sum (both in the message), not a GGUF file. kResource: disk
// too small (by how much), folder not writable. kRemote: every source failed; the message has a line for each.
// kInterrupted: stopped; what was fetched is kept. Except after success the models folder is as it was before, but for
// `.staging`.
[[nodiscard]] Result<PulledModel> pull(const PullRequest& request, const Environment& environment,
                                       const PullProgress& progress = {}, const std::stop_token& stop = {});

}  // namespace bulkhead::models
