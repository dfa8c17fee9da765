// SPDX-License-Identifier: MIT
// Short forms for passing errors on. BH_TRY unwraps a value, BH_CHECK passes a Result<void>.
#pragma once

#include <bulkhead/error.h>

#define BH_CONCAT_INNER(a, b) a##b
#define BH_CONCAT(a, b) BH_CONCAT_INNER(a, b)

// BH_TRY(auto x, f()): x = the value of f(), or return f()'s error from the surrounding function.
#define BH_TRY(declaration, ...) BH_TRY_NAMED(BH_CONCAT(bh_result_, __LINE__), declaration, __VA_ARGS__)
#define BH_TRY_NAMED(name, declaration, ...)      \
  auto name = (__VA_ARGS__);                      \
  if (!name.ok()) return std::move(name).error(); \
  declaration = std::move(name).value()

// BH_CHECK(f()): return f()'s error, if it has one, from the surrounding function.
#define BH_CHECK(...)                                                                  \
  do {                                                                                 \
    if (const auto& bh_check = (__VA_ARGS__); !bh_check.ok()) return bh_check.error(); \
  } while (false)
