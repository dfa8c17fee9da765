// SPDX-License-Identifier: MIT
// One file of the hub onto the disk, however often the connection breaks off.
//
// Thread rule: callable from any thread; one call at a time per file.
#pragma once

#include "models/environment.h"
#include "models/hub.h"
#include "models/known_sums.h"
#include "models/pull.h"

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

namespace bulkhead::models {

// Downloads `file` at `revision` into `part`, and goes on where an earlier call stopped, if a sum is promised; tries as
// environment.http.retry says. The SHA-256 of what came must be the promised one: that of `file`, or where it has none,
// of the X-Linked-Etag with which the hub itself answers; what the servers say that it redirects to counts for nothing.
// `verified` in the result: one was promised. Errors as of net::download(), with advice about closed repositories;
// kCorrupt: another sum of bytes that all came now, which were thrown away; kRemote when environment.hub_offline is
// set.
[[nodiscard]] Result<KnownSum> download_from_hub(const HubFile& file, const std::string& revision,
                                                 const std::filesystem::path& part, const Environment& environment,
                                                 const PullProgress& progress, const std::stop_token& stop);

// kResource, with what is missing, when the disk of `folder` has less than `bytes` free.
[[nodiscard]] Result<void> check_space(const std::string& title, std::uint64_t bytes,
                                       const std::filesystem::path& folder, const Environment& environment);

}  // namespace bulkhead::models
