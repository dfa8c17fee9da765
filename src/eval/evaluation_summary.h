// SPDX-License-Identifier: MIT
// Summary of an evaluation: counts, rates and costs per condition, of all conversations and cut by facet.
// docs/evaluation.md says what each figure counts.
#pragma once

#include "base/json.h"
#include "eval/cell.h"
#include "eval/facet.h"

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::eval {

// How often the chosen answer was right, and how often it was another cluster's.
struct AnswerCounts {
  std::uint64_t questions = 0;
  std::uint64_t correct = 0;
  std::uint64_t intrusions = 0;
};

// Over the question cells among `cells`; references and outputs do not count.
[[nodiscard]] AnswerCounts count_answers(const std::vector<const Cell*>& cells, Scoring scoring);

// One object for each condition there are cells of, in the order of the table of conditions. Tokens of a context count
// once, however many items it has. `sizes` are those of the data set's conversations, for the cuts by them.
[[nodiscard]] Json summarize(const std::vector<Cell>& cells, const ConversationSizes& sizes);

// The summary as a table for people.
[[nodiscard]] std::string summary_table(const Json& summary);

}  // namespace bulkhead::eval
