// SPDX-License-Identifier: MIT
#pragma once

#include "prompt/format.h"

#include <gtest/gtest.h>

#include <string_view>
#include <utility>

namespace bulkhead::prompt {

inline Format builtin_format(std::string_view name) {
  auto format = load_format(name);
  EXPECT_TRUE(format.ok()) << format.error().to_string();
  return std::move(format).value();
}

}  // namespace bulkhead::prompt
