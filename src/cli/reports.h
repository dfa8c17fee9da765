// SPDX-License-Identifier: MIT
// Results for people and scripts: files in the run folder, one form on stdout.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "cli/flags.h"
#include "store/sealed_folder.h"

#include <map>
#include <string>

namespace bulkhead::cli {

// Puts report.md and report.html into `folder`.
[[nodiscard]] Result<void> write_reports(const Json& results, store::SealedFolder& folder);

// Prints `results` on stdout in the form the flags ask for.
void print_results(const Json& results, const CommonFlags& flags);

// The same two of an evaluation's summary: names and bytes.
[[nodiscard]] Result<std::map<std::string, std::string>> evaluation_reports(const Json& evaluation);
void print_evaluation(const Json& evaluation, const CommonFlags& flags);

}  // namespace bulkhead::cli
