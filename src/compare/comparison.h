// SPDX-License-Identifier: MIT
// Comparison: the results documents of one scenario on several engines and models become one document, comparison.json
// (docs/comparison-format.md), from which every form of the report is drawn.
//
// A room of its own, not part of `report`: a report draws one document, this computes what no single document holds.
#pragma once

#include "base/json.h"
#include "compare/token_check.h"

#include <string>
#include <vector>

namespace bulkhead::compare {

struct Entry {
  std::string name;    // unique, for tables: "llama-gemma-3-270m"
  std::string folder;  // of its run, as the comparison's reader finds it
  Json results;        // has passed report::check_results()
};

// The document. All figures come from the entries' documents; the seed report's (data/seed_report.json) stand in
// `reference`, apart from them. kBadInput when the entries are not of one scenario, seeds, conditions and settings (the
// message names the first that differs), or were written by a program that noted no inputs. A difference of tokens is
// in the document, not an error: `check_inputs` is what refuses it.
[[nodiscard]] Result<Json> compare(const std::vector<Entry>& entries, const TokenSource& tokens);

}  // namespace bulkhead::compare
