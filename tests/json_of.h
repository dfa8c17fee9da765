// SPDX-License-Identifier: MIT
// A JSON text in a test: what does not parse fails the test, with line and reason, and is null.
#pragma once

#include "base/json.h"

#include <gtest/gtest.h>

#include <string_view>
#include <utility>

namespace bulkhead::testing {

inline Json json_of(std::string_view text) {
  auto parsed = parse_json(text, "text");
  if (parsed.ok()) return std::move(parsed).value();
  ADD_FAILURE() << parsed.error().to_string();
  return {};
}

}  // namespace bulkhead::testing
