// SPDX-License-Identifier: MIT
#include "measure/effect_size.h"

#include "measure/paired_differences.h"
#include "measure/wilcoxon.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace bulkhead::measure {

Result<PairedEffect> paired_effect(std::span<const double> differences) {
  BH_CHECK(check_differences(differences));
  PairedEffect effect;
  const auto n = static_cast<double>(differences.size());
  effect.mean = std::accumulate(differences.begin(), differences.end(), 0.0) / n;
  double squares = 0.0;
  for (const double difference : differences) {
    squares += (difference - effect.mean) * (difference - effect.mean);
    ++(difference > 0.0 ? effect.wins : difference < 0.0 ? effect.losses : effect.ties);
  }
  // Equal differences have no spread, though the sum of their squares may be a rounding error above 0.
  const auto [least, most] = std::ranges::minmax(differences);
  if (least < most) effect.d_z = effect.mean / std::sqrt(squares / (n - 1.0));
  const auto ranks = signed_rank_sums(differences, ZeroDifferences::kDrop);
  if (effect.wins + effect.losses > 0)
    effect.rank_biserial = (ranks.positive - ranks.negative) / (ranks.positive + ranks.negative);
  return effect;
}

Result<double> cliffs_delta(std::span<const double> a, std::span<const double> b) {
  BH_CHECK(check_differences(a));
  BH_CHECK(check_differences(b));
  std::vector<double> sorted(b.begin(), b.end());
  std::ranges::sort(sorted);
  double delta = 0.0;
  for (const double value : a) {
    const auto below = std::ranges::lower_bound(sorted, value) - sorted.begin();
    const auto above = sorted.end() - std::ranges::upper_bound(sorted, value);
    delta += static_cast<double>(below - above);
  }
  return delta / (static_cast<double>(a.size()) * static_cast<double>(b.size()));
}

}  // namespace bulkhead::measure
