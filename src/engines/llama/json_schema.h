// SPDX-License-Identifier: MIT
// JSON Schema as rules for a generation, by llama.cpp's converter.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <string>

namespace bulkhead::engines::llama {

inline constexpr std::size_t kMostSchemaBytes = std::size_t{64} << 10U;
inline constexpr std::size_t kMostSchemaDepth = 48;

// kBadInput, with what is wrong, for what the converter would print a warning about, end on or take too long for: no
// object or boolean at its root, more bytes or depth than above, a "pattern" that is no simple expression from "^" to
// "$", a "$ref" to elsewhere. `strict`: also for keywords that rules cannot hold ("uniqueItems", "not", ...), which
// are hints otherwise.
[[nodiscard]] Result<void> check_schema(const Json& schema, bool strict);

// Rules in GBNF for the JSON texts that `schema` allows; kBadInput also where the converter refuses. Any thread.
[[nodiscard]] Result<std::string> grammar_of_schema(const Json& schema, bool strict);

}  // namespace bulkhead::engines::llama
