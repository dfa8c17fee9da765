// SPDX-License-Identifier: MIT
// Canaries on the fake engine: nothing is found on a right one, and a leak is.
#include "verify/canary.h"

#include "engines/fake/fake_engine.h"
#include "engines/fake/mutant.h"

#include <gtest/gtest.h>

#include <memory>

namespace bulkhead::verify {
namespace {

using engines::fake::FakeOptions;
using engines::fake::Mutant;

Result<CheckResult> canaries_on(const FakeOptions& options) {
  const MakeEngine make = [&]() -> Result<std::unique_ptr<engine::Engine>> {
    return engines::fake::make_fake_engine(options);
  };
  return check_canaries(make);
}

TEST(Canary, FindsNothingOnARightEngine) {
  const auto check = canaries_on({});
  ASSERT_TRUE(check.ok()) << check.error().to_string();
  EXPECT_EQ(check.value().verdict(), Verdict::kClean) << to_json(check.value()).dump(1);
  EXPECT_GT(check.value().compared, 8U * (2 * 6 + 3 * 16));
}

TEST(Canary, FindsCellsOfBInA) {
  for (const auto mutant : {Mutant::kMessageToAll, Mutant::kNeighbourLength}) {
    const auto check = canaries_on({.faults = {}, .mutant = mutant});
    ASSERT_TRUE(check.ok()) << check.error().to_string();
    EXPECT_EQ(check.value().verdict(), Verdict::kInterference) << static_cast<int>(mutant);
    EXPECT_FALSE(check.value().first.empty());
  }
}

TEST(Canary, CountsEveryChannel) {
  const auto check = canaries_on({});
  ASSERT_TRUE(check.ok()) << check.error().to_string();
  const auto& channels = check.value().detail.at("channels");
  EXPECT_EQ(channels.size(), 5U);
  EXPECT_EQ(channels.at("output").at("of"), 16);  // greedy and sampled
  for (const auto* name : {"message", "message_asked", "output_after_message", "output_after_message_asked"}) {
    EXPECT_EQ(channels.at(name).at("of"), 4) << name;
  }
  // Nothing said by an engine that says noise: none of 4, and the exact upper bound of that, 1 - 0.025^(1/4).
  EXPECT_EQ(channels.at("message").at("said"), 0);
  EXPECT_DOUBLE_EQ(channels.at("message").at("low").get<double>(), 0);
  EXPECT_NEAR(channels.at("message").at("high").get<double>(), 0.6023646356164747, 1e-12);
}

}  // namespace
}  // namespace bulkhead::verify
