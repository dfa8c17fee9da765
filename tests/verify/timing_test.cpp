// SPDX-License-Identifier: MIT
// The interval on known samples, and the check on an engine whose forks are free.
#include "verify/timing.h"

#include "engines/fake/fake_engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>
#include <vector>

namespace bulkhead::verify {
namespace {

TEST(Timing, IntervalHoldsTheMedianAsOftenAsItSays) {
  std::mt19937_64 random(7);
  int inside = 0;
  constexpr int kTrials = 200;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values;
    // Skewed, with median ln 2.
    for (int i = 0; i < 101; ++i) {
      values.push_back(-std::log(1.0 - static_cast<double>(random() >> 11U) / 9007199254740992.0));
    }
    const auto interval = bootstrap_median(values, 1);
    EXPECT_LE(interval.low, interval.middle);
    EXPECT_LE(interval.middle, interval.high);
    inside += interval.low <= std::log(2.0) && std::log(2.0) <= interval.high ? 1 : 0;
  }
  EXPECT_GT(inside, kTrials * 88 / 100);
  EXPECT_LT(inside, kTrials) << "an interval that always holds it is too wide";
}

TEST(Timing, IntervalOfFewValues) {
  EXPECT_EQ(bootstrap_median({}, 1).high, 0);
  const std::vector<double> one = {3};
  EXPECT_EQ(bootstrap_median(one, 1).low, 3);
  const std::vector<double> even = {1, 2, 3, 10};
  EXPECT_EQ(bootstrap_median(even, 1).middle, 2.5);
}

TEST(Timing, CountsPairsAndStopsWhenAsked) {
  const MakeEngine make = []() -> Result<std::unique_ptr<engine::Engine>> {
    return engines::fake::make_fake_engine({});
  };
  const auto check = check_timing(make, {.pairs = 10, .words = 16});
  ASSERT_TRUE(check.ok()) << check.error().to_string();
  EXPECT_EQ(check.value().compared, 10U);
  EXPECT_GT(check.value().detail["prefill_us"].get<double>(), 0);
  std::stop_source stop;
  stop.request_stop();
  const auto stopped = check_timing(make, {.pairs = 10, .cancel = stop.get_token()});
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
}

}  // namespace
}  // namespace bulkhead::verify
