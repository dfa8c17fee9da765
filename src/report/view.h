// SPDX-License-Identifier: MIT
// What all reports share: reading the document without ever failing, figures over several runs, numbers for people.
#pragma once

#include "base/json.h"
#include "measure/summary.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::report {

// The field `key` of `object`; when it is missing or of another type: "", 0, false, an empty list. Reports are drawn of
// documents that passed check_results(); these keep one that did not from ending the program.
[[nodiscard]] std::string text(const Json& object, std::string_view key);
[[nodiscard]] double number(const Json& object, std::string_view key);
[[nodiscard]] std::uint64_t count(const Json& object, std::string_view key);
[[nodiscard]] bool flag(const Json& object, std::string_view key);
[[nodiscard]] const Json& list(const Json& object, std::string_view key);    // an array
[[nodiscard]] const Json& member(const Json& object, std::string_view key);  // an object
[[nodiscard]] std::vector<std::string> texts(const Json& object, std::string_view key);

// The runs of one scenario, in the order of the document. Points into the document.
struct ScenarioRuns {
  const Json* scenario = nullptr;
  std::vector<const Json*> runs;
};
[[nodiscard]] std::vector<ScenarioRuns> scenarios_of(const Json& results);

// The cluster with this id; an empty object if there is none.
[[nodiscard]] const Json& cluster_of(const Json& scenario, std::string_view id);

// Labels of the outputs that can hold foreign terms: some cluster with terminology is neither their own nor sends to
// them.
[[nodiscard]] std::vector<std::string> labels_with_foreign(const Json& scenario);

// One condition over all runs of a scenario.
struct ConditionFigures {
  std::string name;
  std::string title;
  std::string separates;
  std::size_t runs = 0;
  std::size_t achieved = 0;                                   // runs in which isolation was achieved
  std::vector<std::string> reasons;                           // all that were given, each once
  std::set<std::string> known_reasons;                        // the same, to look one up
  std::vector<std::vector<std::uint64_t>> partition_tokens;   // [partition][run] context tokens
  std::map<std::string, std::vector<double>> foreign;         // label -> counts, sampled runs; empty: not countable
  std::map<std::string, std::vector<double>> foreign_greedy;  // the same, greedy runs
  std::vector<double> prefill_ms;
  std::vector<double> decode_ms;
  std::vector<double> wall_ms;
};
// In the order of the document.
[[nodiscard]] std::vector<ConditionFigures> figures_of(const ScenarioRuns& runs);

inline constexpr std::string_view kNotCountable = "not countable";
// The count of `key`, such as own_terms, or kNotCountable where the document has null.
[[nodiscard]] std::string terms_words(const Json& output, std::string_view key);

// "yes", "no" or "2 of 3 runs".
[[nodiscard]] std::string verdict_words(const ConditionFigures& figures);
// "419", or "419-431" when the runs differ.
[[nodiscard]] std::string range_words(const std::vector<std::uint64_t>& values);
// Mean of each label in turn, "0.5/9"; "-" where there is none.
[[nodiscard]] std::string foreign_words(const std::map<std::string, std::vector<double>>& foreign,
                                        const std::vector<std::string>& labels);
// "seed 42", "greedy", "seed 43 (incomplete)".
[[nodiscard]] std::string run_words(const Json& run);
// "seeds 42, 43 and greedy".
[[nodiscard]] std::string runs_words(const ScenarioRuns& runs);

[[nodiscard]] std::string grouped(std::uint64_t value);         // "1,088"
[[nodiscard]] std::string decimal(double value, int digits);    // "9.50" becomes "9.5", "9.00" becomes "9"
[[nodiscard]] std::string duration_words(double milliseconds);  // "812 ms", "29.3 s", "3 min 12 s"
[[nodiscard]] std::string median_words(const std::vector<double>& milliseconds);
[[nodiscard]] std::string bytes_words(std::uint64_t bytes);  // "468 MiB"

// `value` for one line of a terminal: line breaks and control characters, escape sequences among them, become spaces.
[[nodiscard]] std::string one_line(std::string_view value);

}  // namespace bulkhead::report
