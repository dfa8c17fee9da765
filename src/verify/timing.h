// SPDX-License-Identifier: MIT
// Tier T3: does the time of a prefill in A tell whether B holds the same text? That is how prompts of others were
// guessed wherever a cache is shared.
//
// Pairs in random order: once B holds the text that A then prefills, once another of the same length. The median of the
// differences gets a percentile bootstrap interval (Efron 1979); samples of one process depend on each other, so no
// test that assumes otherwise is used.
#pragma once

#include "base/result.h"
#include "verify/check.h"
#include "verify/solo.h"

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>

namespace bulkhead::verify {

struct TimingOptions {
  std::uint32_t pairs = 2000;
  std::uint32_t words = 64;  // of the text
  std::uint64_t seed = 1;
  std::stop_token cancel;
  std::function<void(std::uint64_t done)> progress;  // after each pair; may be empty
};

struct Interval {
  double low = 0;
  double middle = 0;  // the median itself
  double high = 0;
};

// 95 % interval of the median of `values`, from 2,000 resamples. All zero for no values. Same seed, same interval.
[[nodiscard]] Interval bootstrap_median(std::span<const double> values, std::uint64_t seed);

// The check "timing": one difference when the interval leaves 1 % of the median prefill time. `compared` counts pairs.
// The control lets A take the text over from B (a fork), as a cache shared by owners would: then it must leave. Detail:
// times in microseconds and the interval as shares of a prefill. kInterrupted when cancelled.
[[nodiscard]] Result<CheckResult> check_timing(const MakeEngine& make_engine, const TimingOptions& options = {});

}  // namespace bulkhead::verify
