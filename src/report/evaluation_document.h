// SPDX-License-Identifier: MIT
// The summary of an evaluation (summary.json, docs/evaluation.md), read back and checked. Its reports are drawn from it
// alone.
#pragma once

#include "base/json.h"

#include <filesystem>
#include <string_view>

namespace bulkhead::report {

inline constexpr std::string_view kEvaluationSchema = "bulkhead-eval-1";

// Whether the folder holds an evaluation (a summary.json) rather than a run.
[[nodiscard]] bool holds_evaluation(const std::filesystem::path& directory);

// Reads DIR/summary.json. kBadInput: there is no such file. kCorrupt, with the reason and the field's place: not JSON,
// another schema, or a field that is missing or of another type.
[[nodiscard]] Result<Json> read_evaluation(const std::filesystem::path& directory);

// The check of read_evaluation on a document in memory. Fields it does not know are allowed.
[[nodiscard]] Result<void> check_evaluation(const Json& evaluation);

}  // namespace bulkhead::report
