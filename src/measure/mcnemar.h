// SPDX-License-Identifier: MIT
// McNemar's exact test of paired yes-or-no outcomes (McNemar 1947): of the pairs that differ, do as many fall to either
// side? It knows no clusters: the pairs must be independent. Pure, for any thread.
#pragma once

#include <cstddef>

namespace bulkhead::measure {

// Two-sided p, where `only_first` pairs are right under the first condition alone and `only_second` under the second
// alone: twice the smaller binomial tail, at most 1. 1 when no pair differs.
[[nodiscard]] double mcnemar_exact_p(std::size_t only_first, std::size_t only_second);

}  // namespace bulkhead::measure
