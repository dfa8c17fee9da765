// SPDX-License-Identifier: MIT
// Rank test: whether the conditions differ at all by an endpoint, before pairs of them are looked at.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "eval/cell.h"

#include <span>

namespace bulkhead::eval {

// Friedman's test for each endpoint, as a list of {endpoint, conditions, mean_ranks, conversations, items, statistic,
// degrees_of_freedom, p}. Conditions are those of any cell that counts; blocks are conversations, each with its mean
// over the items that all these conditions have. Endpoints of fewer than three conditions or two such conversations are
// left out.
[[nodiscard]] Result<Json> rank_tests(std::span<const Cell* const> cells);

}  // namespace bulkhead::eval
