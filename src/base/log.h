// SPDX-License-Identifier: MIT
// The log: always on stderr, never on stdout. Quiet below warnings unless asked.
#pragma once

#include <spdlog/spdlog.h>

namespace bulkhead::log {

enum class Verbosity { kQuiet, kNormal, kVerbose, kDebug };

// Sets the process-wide level. Call once, early; safe from any thread afterwards.
void set_verbosity(Verbosity verbosity);

// The process-wide logger, on stderr. Lives as long as the process.
[[nodiscard]] spdlog::logger& get();

}  // namespace bulkhead::log
