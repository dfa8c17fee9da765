// SPDX-License-Identifier: MIT
#include "report/evaluation_verdict.h"

#include "report/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bulkhead::report {
namespace {

constexpr double kPercent = 100;

// "22.3 points", "0.0412 nats per token".
std::string size_words(const EndpointWords& endpoint, double size) {
  return endpoint.share ? fmt::format("{:.1f} points", kPercent * std::abs(size))
                        : fmt::format("{:.4f} {}", std::abs(size), endpoint.unit);
}

// "-1.2 to 4.0", in the unit of size_words().
std::string interval_words(const EndpointWords& endpoint, const Json& bounds) {
  if (!bounds.is_array() || bounds.size() != 2) return "none";
  const auto low = bounds[0].get<double>();
  const auto high = bounds[1].get<double>();
  return endpoint.share ? fmt::format("{:.1f} to {:.1f}", kPercent * low, kPercent * high)
                        : fmt::format("{:.4f} to {:.4f}", low, high);
}

double bound(const Json& interval, std::size_t which) {
  return interval.is_array() && interval.size() == 2 ? interval[which].get<double>() : 0.0;
}

double confidence_percent(const Json& evaluation, double sides) {
  return kPercent * (1 - sides * number(member(member(evaluation, "analysis"), "plan"), "alpha"));
}

// "3.1 % against 25.4 %; difference 22.3 points, 95 % interval 19.0 to 25.6, p = 2e-05, 120 conversations".
std::string measured_words(const Json& evaluation, const EndpointWords& endpoint, const Json& comparison) {
  const Json& statistics = member(comparison, "statistics");
  const auto difference = number(comparison, "difference");
  return fmt::format(
      "{} under {}, {} under {}: {} {}; {:.0f} % interval of the difference {}, p = {}, {} conversations",
      value_words(endpoint, number(comparison, "mean_against")), text(comparison, "against"),
      value_words(endpoint, number(comparison, "mean")), text(comparison, "condition"),
      size_words(endpoint, difference),
      difference == 0 ? "apart"
                      : fmt::format("{} under {}", difference > 0 ? "lower" : "higher", text(comparison, "against")),
      confidence_percent(evaluation, 1), interval_words(endpoint, list(statistics, "interval")),
      probability_words(number(statistics, "p")), count(comparison, "conversations"));
}

std::string hypothesis_sentence(const Json& evaluation, const Json& hypothesis) {
  const auto endpoint = endpoint_words(text(hypothesis, "endpoint"));
  const auto outcome = text(hypothesis, "outcome");
  if (outcome == "not measured") {
    return fmt::format("Not measured: there are no two conversations with cells of both {} and {}.",
                       text(hypothesis, "lower"), text(hypothesis, "higher"));
  }
  const Json& comparison = member(hypothesis, "comparison");
  const auto measured = measured_words(evaluation, endpoint, comparison);
  if (outcome == "not tested") {
    return fmt::format("Not tested, because a hypothesis before it did not hold. What was measured: {}.", measured);
  }
  const Json& interval = list(member(comparison, "statistics"), "interval");
  const bool covers_none = bound(interval, 0) <= 0 && bound(interval, 1) >= 0;
  if (outcome == "holds") {
    return fmt::format("Holds: {}.{}", measured,
                       covers_none ? " The interval covers no difference all the same: take this with care." : "");
  }
  if (bound(interval, 1) < 0)
    return fmt::format("Does not hold, the measured difference is the other way: {}.", measured);
  return fmt::format("Not shown: {}.{}", measured,
                     covers_none ? " The interval covers no difference; that is no proof that there is none." : "");
}

std::string no_worse_sentence(const Json& evaluation, const Json& claim) {
  const auto endpoint = endpoint_words(text(claim, "endpoint"));
  const auto outcome = text(claim, "outcome");
  if (outcome == "not measured") {
    return fmt::format("Not measured: there are no two conversations with cells of both {} and {}.",
                       text(claim, "condition"), text(claim, "than"));
  }
  const auto better_by = number(claim, "better_by");
  const Json& interval = list(claim, "interval");
  // One-sided at alpha: the interval of 1 - 2 alpha lies above -margin just when the claim holds.
  const auto measured =
      fmt::format("{} is {} {} than {}; {:.0f} % interval {}, p = {}, {} conversations", text(claim, "condition"),
                  size_words(endpoint, better_by), better_by < 0 ? "worse" : "better", text(claim, "than"),
                  confidence_percent(evaluation, 2), interval_words(endpoint, interval),
                  probability_words(number(claim, "p")), count(claim, "conversations"));
  const auto margin = size_words(endpoint, number(claim, "margin"));
  if (outcome == "holds") return fmt::format("Holds: {}. All of the interval is above -{}.", measured, margin);
  if (bound(interval, 1) < -number(claim, "margin")) {
    return fmt::format("Does not hold, it is worse by more than {}: {}.", margin, measured);
  }
  return fmt::format("Not shown: {}. The interval reaches down to {} or below; that is no proof of a loss.", measured,
                     "-" + margin);
}

// Endpoints of questions and of reference texts.
const std::vector<EndpointWords>& question_words() {
  static const std::vector<EndpointWords> kWords = {
      {"intrusions", "Intrusions", "own and updated questions answered with another topic's value"},
      {"accuracy", "Accuracy", "own and updated questions answered right"},
      {"absent", "Absent facts", "questions about other topics' facts answered with \"not known here\""},
      {"messages", "Questions that need messages", "relay, compare and sum questions answered right"},
      {"nll", "NLL of references", "nats per token of the reference texts, mean over texts", false, "nats per token"},
  };
  return kWords;
}

// Endpoints of samples, and of outputs against the reference text and what other clusters hold.
const std::vector<EndpointWords>& output_words() {
  static const std::vector<EndpointWords> kWords = {
      {"cross_entropy", "Divergence from isolation",
       "nats per token of what the model writes with a cache for each topic; the difference to semantic is the KL "
       "divergence",
       false, "nats per token"},
      {"bleu", "BLEU of outputs", "0 to 100, of single texts, mean over outputs", false, "BLEU"},
      {"chrf", "chrF of outputs", "chrF2, 0 to 100, mean over outputs", false, "chrF"},
      {"rouge_l", "ROUGE-L of outputs", "F1, 0 to 1, mean over outputs", false, "F1"},
      {"similarity", "Similarity of outputs", "cosine with the reference text as vectors, mean over outputs", false,
       "cosine"},
      {"length", "Length of outputs", "words, mean over outputs", false, "words"},
      {"repetition", "Repetition in outputs", "pairs of neighbouring words that stood there before, mean over outputs"},
      {"foreign_terms", "Foreign terms", "occurrences of foreign terminology in an output", false, "terms"},
      {"foreign_facts", "Foreign facts", "different values in an output that only foreign clusters state", false,
       "facts"},
      {"canaries", "Canaries", "canaries of other clusters in an output", false, "canaries"},
  };
  return kWords;
}

}  // namespace

std::vector<EndpointWords> endpoint_words_of(const Json& evaluation) {
  const auto measured = [&](const std::string& name) {
    const auto& conditions = list(evaluation, "conditions");
    return std::any_of(conditions.begin(), conditions.end(),
                       [&](const Json& condition) { return !member(member(condition, "endpoints"), name).empty(); });
  };
  auto told = question_words();
  for (const auto& words : output_words()) {
    if (measured(words.name)) told.push_back(words);
  }
  return told;
}

EndpointWords endpoint_words(const std::string& name) {
  for (const auto* known : {&question_words(), &output_words()}) {
    const auto found = std::find_if(known->begin(), known->end(), [&](const auto& one) { return one.name == name; });
    if (found != known->end()) return *found;
  }
  return {name, name, name, false, name};
}

std::string value_words(const EndpointWords& endpoint, double value) {
  return endpoint.share ? fmt::format("{:.1f} %", kPercent * value) : fmt::format("{:.4f}", value);
}

std::string difference_words(const EndpointWords& endpoint, double difference) {
  return endpoint.share ? fmt::format("{:+.1f}", kPercent * difference) : fmt::format("{:+.4f}", difference);
}

std::string probability_words(double p) {
  return fmt::format("{:.2g}", p);
}

std::vector<Verdict> verdicts_of(const Json& evaluation) {
  std::vector<Verdict> verdicts;
  const Json& analysis = member(evaluation, "analysis");
  for (const auto& one : list(analysis, "hypotheses")) {
    const auto endpoint = endpoint_words(text(one, "endpoint"));
    verdicts.push_back(
        {fmt::format("{}: lower under {} than under {}", endpoint.title, text(one, "lower"), text(one, "higher")),
         text(one, "outcome"), hypothesis_sentence(evaluation, one)});
  }
  for (const auto& one : list(analysis, "no_worse")) {
    const auto endpoint = endpoint_words(text(one, "endpoint"));
    verdicts.push_back(
        {fmt::format("{}: {} no worse than {}, by a margin of {}", endpoint.title, text(one, "condition"),
                     text(one, "than"), size_words(endpoint, number(one, "margin"))),
         text(one, "outcome"), no_worse_sentence(evaluation, one)});
  }
  return verdicts;
}

std::vector<std::string> reservations_of(const Json& evaluation) {
  std::vector<std::string> words;
  if (!flag(evaluation, "complete")) {
    words.emplace_back("The evaluation was stopped before its end: every figure is of what was done until then.");
  }
  const auto whole = count(member(member(evaluation, "made"), "dataset"), "conversations");
  std::uint64_t least = whole;
  for (const auto& condition : list(evaluation, "conditions")) {
    least = std::min(least, count(condition, "conversations"));
  }
  if (least < whole) {
    words.push_back(fmt::format("A part of the data set: {} of {} conversations in the condition that has fewest.",
                                grouped(least), grouped(whole)));
  }
  if (text(member(member(evaluation, "analysis"), "plan"), "sha256").empty()) {
    words.emplace_back("No analysis was fixed beforehand (--analysis): the differences describe, they test nothing.");
  }
  return words;
}

}  // namespace bulkhead::report
