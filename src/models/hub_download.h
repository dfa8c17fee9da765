// SPDX-License-Identifier: MIT
// One file of the hub onto the disk, however often the connection breaks off.
//
// Thread rule: callable from any thread; one call at a time per file.
#pragma once

#include "models/environment.h"
#include "models/hub.h"
#include "models/pull.h"
#include "net/http_client.h"

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

namespace bulkhead::models {

// Downloads `file` at `revision` into `part`, and goes on where an earlier call stopped. A connection that breaks off
// is tried again as long as each try brings the end nearer. Nothing but the size is checked: look at the SHA-256.
// Errors as of net::download(), with advice about closed repositories; kRemote when environment.hub_offline is set.
[[nodiscard]] Result<net::Downloaded> download_from_hub(const HubFile& file, const std::string& revision,
                                                        const std::filesystem::path& part,
                                                        const Environment& environment, const PullProgress& progress,
                                                        const std::stop_token& stop);

// kResource, with what is missing, when the disk of `folder` has less than `bytes` free.
[[nodiscard]] Result<void> check_space(const std::string& title, std::uint64_t bytes,
                                       const std::filesystem::path& folder, const Environment& environment);

}  // namespace bulkhead::models
