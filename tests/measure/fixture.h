// SPDX-License-Identifier: MIT
// Cases of tests/data that other programs computed, and what equal to them means.
#pragma once

#include "base/json.h"
#include "json_of.h"
#include "paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace bulkhead::measure {

// A file of tests/data. Ends the test program when it cannot be read.
inline Json read_fixture(const std::string& name) {
  auto text = read_text_file(testing::source_folder() + "/tests/data/" + name);
  if (!text.ok()) ADD_FAILURE() << text.error().to_string();
  return testing::json_of(std::move(text).value());
}

// Equal to 1e-9, in parts of the expected value, or of 1e-6 where that is smaller.
inline void expect_same(double ours, const Json& expected, const char* what) {
  const double theirs = expected.get<double>();
  EXPECT_LE(std::abs(ours - theirs), 1e-9 * std::max(std::abs(theirs), 1e-6))
      << what << ": " << ours << ", expected " << theirs;
}

}  // namespace bulkhead::measure
