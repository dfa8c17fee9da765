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
#include <vector>

namespace bulkhead::verify {

struct CampaignOptions {
  std::uint64_t traces = 100;
  std::uint64_t seed = 1;  // trace i is random_trace(seed + i)
  TraceShape shape;
  std::uint32_t long_one_in = 0;  // every so manieth trace has `long_shape`; 0: none
  TraceShape long_shape;
  std::uint64_t shrink_tries = 400;
  MakeEngine alone;  // makes the engines of the solo runs; empty: the same as of the others
  std::stop_token cancel;
  std::function<void(std::uint64_t done)> progress;  // after each trace; may be empty
};

struct Campaign {
  std::vector<CheckResult> checks;  // solo_replay, books, local_respect
  std::uint64_t traces = 0;         // that ran
  std::optional<Trace> failing;     // the first failing trace, made small
  bool minimal = false;             // no action of it can be left out
};

// Errors: those of making engines and reserving room. kInterrupted when cancelled.
[[nodiscard]] Result<Campaign> run_campaign(const MakeEngine& make_engine, const CampaignOptions& options);

// The three checks for one given trace.
[[nodiscard]] Result<Campaign> replay_trace(const Trace& trace, const MakeEngine& make_engine,
                                            const MakeEngine& alone = {});

}  // namespace bulkhead::verify
