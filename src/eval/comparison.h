// SPDX-License-Identifier: MIT
// Comparison: every condition against `semantic`, item by item, with the conversation as the unit that was drawn.
// docs/evaluation.md lists endpoints and tests; the statistics are those of src/measure.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "eval/cell.h"
#include "eval/paired_items.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::eval {

// "`lower` has a lower value than `higher`." Hypotheses are tested in their order, each only if all before it held:
// then none needs a correction (fixed-sequence procedure).
struct Hypothesis {
  std::string endpoint;
  std::string lower;
  std::string higher;
};

// "`condition` is no worse than `than` by more than `margin`": the upper one-sided test of a TOST, on conversation
// means.
struct NoWorse {
  std::string endpoint;
  std::string condition;
  std::string than;
  double margin = 0;  // in the endpoint's unit
};

// The analysis, fixed before a run (datasets/bulkhead-bench/analysis.json).
struct AnalysisPlan {
  std::string sha256;          // of the file; empty: none was given
  std::string dataset_sha256;  // of the data set it was fixed for
  std::string model;           // it was fixed for: a name of the model manifest, else a file name
  double alpha = 0.05;
  std::size_t resamples = 10'000;  // bootstrap
  std::size_t draws = 100'000;     // permutation test
  std::uint32_t seed = 1;
  std::vector<Hypothesis> hypotheses;
  std::vector<NoWorse> no_worse;
};

// kBadInput, with file and field, for what breaks the form, and for unknown endpoints or conditions.
[[nodiscard]] Result<AnalysisPlan> read_analysis_plan(const std::string& path);

// {"plan": {...}, "comparisons": [...], "hypotheses": [...], "no_worse": [...]}. Comparisons are of items that both
// conditions have; `difference` is condition minus semantic. Statistics are null with fewer than two conversations.
// Holm's correction is over the conditions of one endpoint.
[[nodiscard]] Result<Json> compare(const std::vector<Cell>& cells, const AnalysisPlan& plan);

// The `statistics` of a comparison: interval of the mean, permutation and Wilcoxon tests, effect sizes, by
// conversation. kBadInput with fewer than two conversations.
[[nodiscard]] Result<Json> paired_statistics(const PairedItems& pairs, const AnalysisPlan& plan);

// Puts `p_holm` into the statistics of `comparisons`, which are tested together; those that are null are left out.
[[nodiscard]] Result<void> add_holm(std::vector<Json>& comparisons);

}  // namespace bulkhead::eval
