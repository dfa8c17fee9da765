// SPDX-License-Identifier: MIT
// How large a paired difference is, apart from whether it is there. Pure functions, for any thread.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <optional>
#include <span>

namespace bulkhead::measure {

struct PairedEffect {
  double mean = 0.0;           // difference, in its unit
  std::optional<double> d_z;   // Cohen's d of pairs: mean / standard deviation (n - 1); none when that is 0 or n = 1
  double rank_biserial = 0.0;  // matched pairs (Kerby 2014): (W+ - W-) / (W+ + W-), zeros dropped; -1 to 1
  std::size_t wins = 0;        // differences > 0
  std::size_t ties = 0;        // = 0
  std::size_t losses = 0;      // < 0
};

// kBadInput as check_differences.
[[nodiscard]] Result<PairedEffect> paired_effect(std::span<const double> differences);

// Cliff's delta (Cliff 1993): P(a > b) - P(a < b) for values drawn from the two, whatever their pairing; -1 to 1.
// kBadInput when one is empty or holds what is not a finite number.
[[nodiscard]] Result<double> cliffs_delta(std::span<const double> a, std::span<const double> b);

}  // namespace bulkhead::measure
