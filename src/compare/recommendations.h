// SPDX-License-Identifier: MIT
// What the figures of a comparison allow to say, and how far: a claim needs runs that do not overlap.
#pragma once

#include "base/json.h"

#include <string>
#include <vector>

namespace bulkhead::compare {

// Each with `claim`, `because` (the figures) and `strength`: "computed" (a fact of these runs, no spread to it),
// "apart" (the runs' ranges do not overlap, and chance alone would part them in 5 % of cases at most), "few runs" (they
// do not overlap, but chance does that more often), "overlap" (nothing is recommended), or "one run" (no spread is
// known). `comparison`: the document of compare(), without recommendations.
[[nodiscard]] Json recommendations(const Json& comparison);

}  // namespace bulkhead::compare
