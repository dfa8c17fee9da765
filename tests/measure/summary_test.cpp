// SPDX-License-Identifier: MIT
#include "measure/summary.h"

#include <gtest/gtest.h>

#include <vector>

namespace bulkhead::measure {
namespace {

TEST(Summary, NothingIsZero) {
  const auto summary = summarize({});
  EXPECT_EQ(summary.n, 0U);
  EXPECT_EQ(summary.max, 0.0);
}

TEST(Summary, OneValueIsAllOfThem) {
  const auto summary = summarize(std::vector<double>{-3.5});
  EXPECT_EQ(summary.n, 1U);
  for (const double value : {summary.min, summary.median, summary.mean, summary.p95, summary.max})
    EXPECT_EQ(value, -3.5);
}

TEST(Summary, InAnyOrder) {
  const auto summary = summarize(std::vector<double>{4, 1, 3, 2});
  EXPECT_EQ(summary.min, 1.0);
  EXPECT_DOUBLE_EQ(summary.median, 2.5);
  EXPECT_DOUBLE_EQ(summary.mean, 2.5);
  EXPECT_DOUBLE_EQ(summary.p95, 3.85);
  EXPECT_EQ(summary.max, 4.0);
}

TEST(Summary, OneHundredAndOne) {
  std::vector<double> values;
  for (int i = 100; i >= 0; --i) values.push_back(i);
  const auto summary = summarize(values);
  EXPECT_DOUBLE_EQ(summary.median, 50.0);
  EXPECT_DOUBLE_EQ(summary.p95, 95.0);
}

}  // namespace
}  // namespace bulkhead::measure
