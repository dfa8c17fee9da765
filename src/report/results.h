// SPDX-License-Identifier: MIT
// The results document of a run folder (docs/results-format.md), read back and checked. Every report is drawn from it
// alone.
#pragma once

#include "base/json.h"

#include <filesystem>

namespace bulkhead::report {

inline constexpr int kFormatVersion = 1;

// Reads DIR/results.json. kBadInput: there is no such file. kCorrupt, with the reason: not JSON (a file that was cut
// off, say), another format_version, or a field that is missing or of another type (the place names it: "results.json:
// runs[0].seed").
[[nodiscard]] Result<Json> read_results(const std::filesystem::path& directory);

// The check of read_results on a document in memory. Fields it does not know are allowed.
[[nodiscard]] Result<void> check_results(const Json& results);

}  // namespace bulkhead::report
