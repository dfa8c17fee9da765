// SPDX-License-Identifier: MIT
#include "eval/cells_csv.h"

#include "report/csv_line.h"

#include <fmt/format.h>

#include <utility>

namespace bulkhead::eval {
namespace {

constexpr std::size_t kChoiceFields = 6;
constexpr std::size_t kOutputFields = 13;

std::vector<std::string> choice_fields(const Cell& cell) {
  const auto& best = chosen(cell, Scoring::kPerToken);
  const bool question = is_question(cell);
  std::vector<std::string> fields = {
      question ? best.value : std::string(),
      best.cluster,
      question ? std::string(name(best.standing)) : std::string(),
      question ? std::string(name(chosen(cell, Scoring::kTotal).standing)) : std::string(),
      fmt::format("{}", best.log_probability),
      std::to_string(best.tokens)};
  fields.resize(kChoiceFields + kOutputFields);
  return fields;
}

std::string terms(const std::optional<std::uint64_t>& count) {
  return count ? std::to_string(*count) : "not countable";
}

std::vector<std::string> output_fields(const Output& output) {
  std::vector<std::string> fields(kChoiceFields);
  fields.back() = std::to_string(output.tokens);
  for (const auto& field :
       {output.text, std::string(output.ended ? "true" : "false"), fmt::format("{}", output.bleu),
        fmt::format("{}", output.chrf), fmt::format("{}", output.rouge_l), std::to_string(output.words),
        fmt::format("{}", output.repetition), terms(output.own_terms), terms(output.foreign_terms),
        std::to_string(output.own_facts), std::to_string(output.foreign_facts), std::to_string(output.canaries),
        output.similarity ? fmt::format("{}", *output.similarity) : std::string()}) {
    fields.push_back(field);
  }
  return fields;
}

}  // namespace

std::string to_csv(const std::vector<Cell>& cells) {
  std::string out = report::csv_line({"conversation",    "condition",     "item",
                                      "domain",          "difficulty",    "kind",
                                      "cluster",         "context",       "context_tokens",
                                      "item_tokens",     "seconds",       "chosen",
                                      "chosen_cluster",  "standing",      "standing_by_total",
                                      "log_probability", "tokens",        "output",
                                      "ended",           "bleu",          "chrf",
                                      "rouge_l",         "words",         "repetition",
                                      "own_terms",       "foreign_terms", "own_facts",
                                      "foreign_facts",   "canaries",      "similarity"});
  for (const auto& cell : cells) {
    std::vector<std::string> fields = {cell.key.conversation,
                                       cell.key.condition,
                                       cell.key.item,
                                       cell.domain,
                                       std::to_string(cell.difficulty),
                                       cell.kind,
                                       cell.cluster,
                                       cell.context,
                                       std::to_string(cell.context_tokens),
                                       std::to_string(cell.item_tokens),
                                       fmt::format("{:.6f}", cell.seconds)};
    for (auto& field : cell.output ? output_fields(*cell.output) : choice_fields(cell)) {
      fields.push_back(std::move(field));
    }
    out += report::csv_line(fields);
  }
  return out;
}

}  // namespace bulkhead::eval
