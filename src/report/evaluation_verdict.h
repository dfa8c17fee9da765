// SPDX-License-Identifier: MIT
// What an evaluation says in words: each claim that was fixed beforehand with a sentence computed from its figures, and
// what an endpoint's numbers are called.
#pragma once

#include "base/json.h"

#include <string>
#include <vector>

namespace bulkhead::report {

// How an endpoint is told to people.
struct EndpointWords {
  std::string name;             // as in the document
  std::string title;            // "Intrusions"
  std::string about;            // what a number of it is
  bool share = true;            // told in percent and points; else as a plain number
  std::string unit = "points";  // of a difference
};
// The endpoints that this evaluation is told by: those of questions and references, and those of outputs where some
// condition has one.
[[nodiscard]] std::vector<EndpointWords> endpoint_words_of(const Json& evaluation);
// Those of one endpoint; one that is not known is told by its name.
[[nodiscard]] EndpointWords endpoint_words(const std::string& name);

[[nodiscard]] std::string value_words(const EndpointWords& endpoint, double value);            // "12.3 %", "0.4512"
[[nodiscard]] std::string difference_words(const EndpointWords& endpoint, double difference);  // "+1.2 points"
[[nodiscard]] std::string probability_words(double p);                                         // "0.032", "2e-05"

struct Verdict {
  std::string claim;     // "Intrusions are lower under semantic than under sequential."
  std::string outcome;   // of the document: "holds", "fails", "not tested", "not measured"
  std::string sentence;  // what came out, with the interval that hedges it
};

// In the order of the document: hypotheses, then claims of "no worse".
[[nodiscard]] std::vector<Verdict> verdicts_of(const Json& evaluation);

// What a reader must know before any verdict: an evaluation cut short, a part of the data set, no analysis fixed
// beforehand.
[[nodiscard]] std::vector<std::string> reservations_of(const Json& evaluation);

}  // namespace bulkhead::report
