// SPDX-License-Identifier: MIT
// Short forms for passing errors on. BH_TRY unwraps a value, BH_CHECK passes a Result<void>.
#pragma once

#include <bulkhead/error.h>

#define BH_CONCAT_INNER(a, b) a##b
#define BH_CONCAT(a, b) BH_CONCAT_INNER(a, b)

// BH_TRY(auto x, f()): x = the value of f(), or return f()'s error from the surrounding function.
#define BH_TRY(declaration, expression) BH_TRY_NAMED(BH_CONCAT(bh_result_, __LINE__), declaration, expression)
#define BH_TRY_NAMED(name, declaration, expression) \
  auto name = (expression);                         \
  if (!name.ok()) return std::move(name).error();   \
  declaration = std::move(name).value()

#define BH_CHECK(expression)                                       \
  do {                                                             \
    if (auto bh_check = (expression); !bh_check.ok()) return bh_check.error(); \
  } while (false)
