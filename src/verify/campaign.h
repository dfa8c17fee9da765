// SPDX-License-Identifier: MIT
// Campaign: many random traces, each held against solo runs; the first that fails is made small.
#pragma once

#include "verify/check.h"
#include "verify/random_trace.h"
#include "verify/solo.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::verify {

// Before the names of the checks of traces on the public surface.
inline constexpr std::string_view kSurfacePrefix = "surface_";

struct CampaignOptions {
  std::string prefix;  // of the checks' names
  std::uint64_t traces = 100;
  std::uint64_t seed = 1;  // trace i is random_trace(seed + i)
  TraceShape shape;
  std::uint32_t long_one_in = 0;  // every so manieth trace has `long_shape`; 0: none
  TraceShape long_shape;
  std::uint64_t shrink_tries = 400;
  RunTrace alone;  // does the solo runs; empty: as all others are done
  std::stop_token cancel;
  std::function<void(std::uint64_t done)> progress;  // after each trace; may be empty
};

struct Campaign {
  std::vector<CheckResult> checks;  // solo_replay, books, local_respect, each behind the prefix
  std::uint64_t traces = 0;         // that ran
  std::optional<Trace> failing;     // the first failing trace, made small
  bool minimal = false;             // no action of it can be left out
};

// Errors: those of making engines and reserving room. kInterrupted when cancelled.
[[nodiscard]] Result<Campaign> run_campaign(const RunTrace& run, const CampaignOptions& options);

// The three checks for one given trace.
[[nodiscard]] Result<Campaign> replay_trace(const Trace& trace, const RunTrace& run, const RunTrace& alone = {});

}  // namespace bulkhead::verify
