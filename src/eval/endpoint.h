// SPDX-License-Identifier: MIT
// Endpoint: what conditions are compared by, a number for each cell that counts. docs/evaluation.md lists them.
#pragma once

#include "eval/cell.h"

#include <span>
#include <string_view>

namespace bulkhead::eval {

// Whether more of an endpoint is worse; neither of a length.
enum class Better { kLower, kHigher, kNeither };
[[nodiscard]] std::string_view name(Better better) noexcept;  // "lower", "higher", "neither"

struct Endpoint {
  std::string_view name;  // "intrusions", "accuracy", "absent", "messages", "nll"; of samples "cross_entropy"; of
                          // outputs "bleu", ...
  std::string_view unit;
  Better better;
  bool (*counts)(const Cell& cell);
  double (*value)(const Cell& cell);
};
[[nodiscard]] std::span<const Endpoint> endpoints() noexcept;

// Of outputs or samples, which most evaluations do not have: told only where there are some.
[[nodiscard]] bool is_optional(const Endpoint& endpoint) noexcept;

// Null when there is none of this name.
[[nodiscard]] const Endpoint* find_endpoint(std::string_view name) noexcept;

// The questions of the primary endpoint: own and updated.
[[nodiscard]] bool is_primary(const Cell& cell) noexcept;

}  // namespace bulkhead::eval
