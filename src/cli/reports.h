// SPDX-License-Identifier: MIT
// Results for people and scripts: files in the run folder, one form on stdout.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "cli/flags.h"

#include <string>

namespace bulkhead::cli {

// Writes report.md and report.html into `folder`, each whole or not at all.
[[nodiscard]] Result<void> write_reports(const Json& results, const std::string& folder);

// Prints `results` on stdout in the form the flags ask for.
void print_results(const Json& results, const CommonFlags& flags);

// The same two of an evaluation's summary.
[[nodiscard]] Result<void> write_evaluation_reports(const Json& evaluation, const std::string& folder);
void print_evaluation(const Json& evaluation, const CommonFlags& flags);

}  // namespace bulkhead::cli
