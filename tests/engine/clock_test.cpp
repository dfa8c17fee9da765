// SPDX-License-Identifier: MIT
#include "engine/clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

namespace bulkhead::engine {
namespace {

TEST(Clock, ADateAloneIsItsMidnight) {
  EXPECT_EQ(clock_from("2026-11-29").value(), "2026-11-29T00:00:00");
  EXPECT_EQ(clock_from("2024-02-29T23:20:05").value(), "2024-02-29T23:20:05");
}

TEST(Clock, CountsSecondsAsIfItWereUtc) {
  EXPECT_EQ(seconds_of("1970-01-01T00:00:00"), 0);
  EXPECT_EQ(seconds_of("2001-09-09T01:46:40"), 1'000'000'000);
  EXPECT_EQ(seconds_of("2026-11-29T23:20:05"), 1'795'994'405);
}

TEST(Clock, NothingIsTheLocalTimeNow) {
  const std::time_t before = std::time(nullptr);
  const auto clock = clock_from("").value();
  std::tm local{};
  localtime_r(&before, &local);
  EXPECT_NEAR(static_cast<double>(seconds_of(clock)), static_cast<double>(timegm(&local)), 60);
  EXPECT_EQ(clock_from(clock).value(), clock);
}

TEST(Clock, WhatIsNoMomentIsRefusedByName) {
  for (const auto* text :
       {"today", "2026-13-01", "2026-02-29", "2026-1-1", "2026-11-29T24:00:00", "2026-11-29 12:00:00",
        "2026-11-29T12:00", "2026-11-29T12:00:60", "+026-11-29", "2026-11-29Z"}) {
    const auto clock = clock_from(text);
    ASSERT_FALSE(clock.ok()) << text;
    EXPECT_EQ(clock.error().code, ErrorCode::kUsage);
    EXPECT_EQ(clock.error().place, "--clock");
    EXPECT_THAT(clock.error().message, testing::HasSubstr(text));
  }
}

}  // namespace
}  // namespace bulkhead::engine
