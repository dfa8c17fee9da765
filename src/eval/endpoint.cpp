// SPDX-License-Identifier: MIT
#include "eval/endpoint.h"

#include "dataset/dataset.h"

#include <algorithm>
#include <array>

namespace bulkhead::eval {
namespace {

double is_chosen(const Cell& cell, Standing standing) {
  return chosen(cell, Scoring::kPerToken).standing == standing ? 1.0 : 0.0;
}

double nll_per_token(const Cell& cell) {
  const auto& text = cell.candidates.front();
  return -text.log_probability / text.tokens;
}

bool is_absent(const Cell& cell) {
  return cell.kind == "absent";
}

bool needs_message(const Cell& cell) {
  return cell.kind == "relay" || cell.kind == "compare" || cell.kind == "sum";
}

bool is_reference(const Cell& cell) {
  return cell.kind == kReferenceKind;
}

double is_intrusion(const Cell& cell) {
  return is_chosen(cell, Standing::kForeign);
}

double is_right(const Cell& cell) {
  return is_chosen(cell, Standing::kRight);
}

bool is_sample(const Cell& cell) {
  return cell.kind == kSampleKind;
}

bool is_output(const Cell& cell) {
  return cell.output.has_value();
}

bool has_similarity(const Cell& cell) {
  return cell.output.has_value() && cell.output->similarity.has_value();
}

double similarity(const Cell& cell) {
  return *cell.output->similarity;
}

bool has_terms(const Cell& cell) {
  return cell.output.has_value() && cell.output->foreign_terms.has_value();
}

double foreign_terms(const Cell& cell) {
  return static_cast<double>(*cell.output->foreign_terms);
}

template <auto Member>
double of_output(const Cell& cell) {
  return static_cast<double>((*cell.output).*Member);
}

constexpr std::array<Endpoint, 15> kEndpoints = {{
    {"intrusions", "share of own and updated questions", Better::kLower, is_primary, is_intrusion},
    {"accuracy", "share of own and updated questions", Better::kHigher, is_primary, is_right},
    {"absent", "share of absent questions answered with not known here", Better::kHigher, is_absent, is_right},
    {"messages", "share of relay, compare and sum questions", Better::kHigher, needs_message, is_right},
    {"nll", "nats per token of a reference text, mean over texts", Better::kLower, is_reference, nll_per_token},
    {"cross_entropy", "nats per token of what isolation would write, mean over samples", Better::kLower, is_sample,
     nll_per_token},
    {"bleu", "0 to 100, mean over outputs", Better::kHigher, is_output, of_output<&Output::bleu>},
    {"chrf", "0 to 100, mean over outputs", Better::kHigher, is_output, of_output<&Output::chrf>},
    {"rouge_l", "F1, mean over outputs", Better::kHigher, is_output, of_output<&Output::rouge_l>},
    {"similarity", "cosine with the reference text as vectors, mean over outputs", Better::kHigher, has_similarity,
     similarity},
    {"length", "words of an output", Better::kNeither, is_output, of_output<&Output::words>},
    {"repetition", "share of repeated pairs of words, mean over outputs", Better::kLower, is_output,
     of_output<&Output::repetition>},
    {"foreign_terms", "occurrences in an output", Better::kLower, has_terms, foreign_terms},
    {"foreign_facts", "different values in an output", Better::kLower, is_output, of_output<&Output::foreign_facts>},
    {"canaries", "other clusters' canaries in an output", Better::kLower, is_output, of_output<&Output::canaries>},
}};

}  // namespace

std::string_view name(Better better) noexcept {
  switch (better) {
    case Better::kLower: return "lower";
    case Better::kHigher: return "higher";
    case Better::kNeither: return "neither";
  }
  return "";
}

std::span<const Endpoint> endpoints() noexcept {
  return kEndpoints;
}

bool is_optional(const Endpoint& endpoint) noexcept {
  return endpoint.counts == is_output || endpoint.counts == has_similarity || endpoint.counts == has_terms ||
         endpoint.counts == is_sample;
}

const Endpoint* find_endpoint(std::string_view name) noexcept {
  const auto* found =
      std::find_if(kEndpoints.begin(), kEndpoints.end(), [&](const Endpoint& one) { return one.name == name; });
  return found == kEndpoints.end() ? nullptr : found;
}

bool is_primary(const Cell& cell) noexcept {
  return cell.kind == name(dataset::QuestionKind::kOwn) || cell.kind == name(dataset::QuestionKind::kUpdated);
}

}  // namespace bulkhead::eval
