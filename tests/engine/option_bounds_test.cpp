// SPDX-License-Identifier: MIT
#include "engine/option_bounds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace bulkhead::engine {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(OptionBounds, BothEndsAreAllowedAndNothingBeyond) {
  for (const auto* field : {"temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n",
                            "context_tokens", "threads", "gpu_layers"}) {
    const auto& bound = bound_of(field);
    EXPECT_LT(bound.least, bound.most) << field;
    EXPECT_TRUE(check_bound(field, bound.least).ok()) << field;
    EXPECT_TRUE(check_bound(field, bound.most).ok()) << field;
    for (const double beyond : {std::nextafter(bound.least, -kInfinity), std::nextafter(bound.most, kInfinity),
                                -kInfinity, kInfinity, std::nan("")}) {
      const auto checked = check_bound(field, beyond);
      ASSERT_FALSE(checked.ok()) << field << " " << beyond;
      EXPECT_EQ(checked.error().code, ErrorCode::kUsage);
      EXPECT_EQ(checked.error().place, field);
      EXPECT_NE(checked.error().message.find(bound.range), std::string::npos);
    }
  }
}

TEST(OptionBounds, DefaultsAreInsideAndEachFieldOfAModelIsAsked) {
  EXPECT_TRUE(check_bounds(SamplingOptions{}).ok());
  EXPECT_TRUE(check_bounds(ModelOptions{}).ok());
  ModelOptions threads;
  threads.threads = 100'000;
  EXPECT_EQ(check_bounds(threads).error().place, "threads");
  ModelOptions context;
  context.context_tokens = 4'294'967'295U;
  EXPECT_EQ(check_bounds(context).error().place, "context_tokens");
  ModelOptions layers;
  layers.gpu_layers = -2;
  EXPECT_EQ(check_bounds(layers).error().place, "gpu_layers");
}

}  // namespace
}  // namespace bulkhead::engine
