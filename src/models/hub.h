// SPDX-License-Identifier: MIT
// The model hub: which file of a repository is meant, where it is, and what it should be.
//
// Thread rule: callable from any thread.
#pragma once

#include "models/environment.h"

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::models {

// "user/repo", "user/repo:Q8_0" or "user/repo:folder/file.gguf".
struct HubSpec {
  std::string repo;
  std::string wanted;  // quantization or file; empty: not said, which means Q4_K_M where there is one
};

// kUsage when `text` is none of these.
[[nodiscard]] Result<HubSpec> parse_hub_spec(std::string_view text);

// The file meant by `wanted` among `files` (paths inside the repository): an exact path or file name; else the one GGUF
// file whose name holds the quantization as a word of its own (upper and lower case being the same); with nothing
// wanted Q4_K_M, or else the only GGUF file there is. Projector and matrix files (mmproj, imatrix) do not count. A
// model that is split in parts counts as one file, its first part; a whole file goes before it. kUsage when none or
// several fit (lists them).
[[nodiscard]] Result<std::string> pick_hub_file(const std::vector<std::string>& files, const HubSpec& spec);

// Whether `file` is the one that `spec` names by quantization or file name.
[[nodiscard]] bool fits_hub_spec(std::string_view file, const HubSpec& spec);

// One file as the hub describes it.
struct HubFile {
  HubSource source;
  std::optional<std::uint64_t> bytes;
  std::string sha256;  // empty when the hub does not say
};

// What a repository holds, at one revision.
struct HubListing {
  std::string revision;  // commit, 40 hex digits; "main" when the hub does not say
  std::vector<HubFile> files;
};

// Asks the hub for the files of `repo`. kRemote when the hub cannot be asked, answers nonsense (a file name that leads
// out of the repository is such), or environment.hub_offline is set.
[[nodiscard]] Result<HubListing> list_hub(const std::string& repo, const Environment& environment,
                                          const std::stop_token& stop);

// The file of `listing` that pick_hub_file() takes; of a split model all parts, the first one first. kRemote when the
// repository lacks a part.
[[nodiscard]] Result<std::vector<HubFile>> pick_from(const HubListing& listing, const HubSpec& spec);

// Where the file can be downloaded.
[[nodiscard]] std::string hub_url(const HubSource& source, const Environment& environment,
                                  const std::string& revision = "main");

// `error` with what to do about a repository that is closed to us, if that is what it speaks of.
[[nodiscard]] Error with_token_advice(Error error, const std::string& repo, const Environment& environment);

// The name in the models folder of a file that is not in the manifest: "user--repo--file.gguf", "--" also standing for
// the slashes of a path inside the repository. Of two files in two places it is never the same: a hyphen that could be
// taken for a part of "--" is written %2D, and % is %25. A ".GGUF" at the end becomes ".gguf", as libllama wants it.
[[nodiscard]] std::string local_name(const HubSource& source);

// The SHA-256 an X-Linked-Etag header carries; empty if it carries none.
[[nodiscard]] std::string sha256_in_etag(std::string_view etag);

}  // namespace bulkhead::models
