// SPDX-License-Identifier: MIT
// The two ways in which a plan is shown: JSON, and tables for people.
#include "plan/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

namespace bulkhead::plan {
namespace {

using conversation::OriginKind;
using conversation::TracedTokens;

// Tokens of a context by origin, in the order in which each first occurs.
Json breakdown(const TracedTokens& tokens) {
  Json counts = Json::object();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    auto& count = counts[std::string(name(tokens.origin(i).kind))];
    count = count.is_null() ? 1 : count.get<std::uint32_t>() + 1;
  }
  return counts;
}

Json tokens_by_turn(const TracedTokens& tokens, const std::vector<int>& turns) {
  std::map<int, std::uint32_t> counts;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens.origin(i).kind == OriginKind::kTurn) ++counts[tokens.origin(i).turn];
  }
  Json list = Json::array();
  for (const int turn : turns) list.push_back({{"turn_id", turn}, {"tokens", counts[turn]}});
  return list;
}

Json to_json(const ContextPlan& context) {
  Json outputs = Json::array();
  for (std::size_t i = 0; i < context.outputs.size(); ++i) {
    const auto& output = context.outputs[i];
    outputs.push_back({{"label", output.label},
                       {"cluster", output.cluster},
                       {"prompt", output.prompt},
                       {"tokens", context.known.outputs[i].size()},
                       {"max_new_tokens", output.max_tokens}});
  }
  return {{"condition", context.condition->name},
          {"partition", context.partition},
          {"clusters", context.spec.clusters},
          {"awaits_messages", context.spec.content.messages_from},
          {"tokens", context.known.context.size()},
          {"tokens_by_origin", breakdown(context.known.context)},
          {"turns", tokens_by_turn(context.known.context, context.spec.content.turns)},
          {"shared_prefix_tokens", context.known.shared},
          {"longest_sequence_tokens", context.longest},
          {"template_changes", context.known.changes},
          {"outputs", std::move(outputs)}};
}

Json to_json(const Step& step, const Plan& plan) {
  Json json = {{"id", step.id.value()},
               {"kind", name(step.kind)},
               {"condition", plan.contexts[step.context].condition->name},
               {"partition", step.partition}};
  if (!step.from.empty()) json["from"] = step.from;
  if (!step.output.empty()) json["output"] = step.output;
  if (step.tokens != 0) json["tokens"] = step.tokens;
  if (step.awaits_messages) json["awaits_messages"] = true;
  json["after"] = Json::array();
  for (const auto id : step.after) json["after"].push_back(id.value());
  return json;
}

// A table of words, its columns aligned; columns named in `numbers` to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> head, std::vector<bool> numbers)
      : rows_{std::move(head)}, numbers_(std::move(numbers)) {}

  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  [[nodiscard]] std::string text() const {
    std::vector<std::size_t> widths(numbers_.size(), 0);
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        line += numbers_[i] ? fmt::format("  {:>{}}", row[i], widths[i]) : fmt::format("  {:<{}}", row[i], widths[i]);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    }
    return text;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> numbers_;  // [n_columns]
};

std::string context_table(const Plan& plan) {
  Table table({"partition", "turns", "tokens", "shared", "longest", "receives", "outputs"},
              {false, true, true, true, true, false, false});
  for (const auto& context : plan.contexts) {
    const auto& awaited = context.spec.content.messages_from;
    std::vector<std::string> outputs;
    outputs.reserve(context.outputs.size());
    for (const auto& output : context.outputs)
      outputs.push_back(fmt::format("{} (<= {})", output.label, output.max_tokens));
    const std::string_view more = awaited.empty() ? "" : "+";
    table.add({context.partition, fmt::format("{}", context.spec.content.turns.size()),
               fmt::format("{}{}", context.known.context.size(), more), fmt::format("{}{}", context.known.shared, more),
               fmt::format("{}", context.longest), awaited.empty() ? "-" : fmt::format("{}", fmt::join(awaited, ", ")),
               fmt::format("{}", fmt::join(outputs, ", "))});
  }
  return table.text();
}

std::string detail(const Step& step) {
  switch (step.kind) {
    case StepKind::kOpen: return "room for so many tokens";
    case StepKind::kPrefill: return step.output.empty() ? "context" : fmt::format("prompt of output {}", step.output);
    case StepKind::kFork: return fmt::format("from {}", step.from);
    case StepKind::kGenerate: return fmt::format("output {}", step.output);
    case StepKind::kSend: return fmt::format("output {} of {}", step.output, step.from);
    case StepKind::kClose: return "";
  }
  return "";
}

// What stands before the number: a bound for generated and reserved tokens; after it: a plus where messages will add.
std::string count_text(const Step& step) {
  if (step.tokens == 0) return "-";
  const bool bound = step.kind == StepKind::kOpen || step.kind == StepKind::kGenerate;
  const bool more = step.awaits_messages && step.kind != StepKind::kOpen;
  return fmt::format("{}{}{}", bound ? "<= " : "", step.tokens, more ? "+" : "");
}

std::string step_table(const Plan& plan) {
  Table table({"step", "kind", "partition", "tokens", "what", "after"}, {true, false, false, true, false, false});
  for (const auto& step : plan.steps) {
    std::vector<std::uint32_t> after;
    after.reserve(step.after.size());
    for (const auto id : step.after) after.push_back(id.value());
    table.add({fmt::format("{}", step.id.value()), std::string(name(step.kind)), step.partition, count_text(step),
               detail(step), after.empty() ? "-" : fmt::format("{}", fmt::join(after, ", "))});
  }
  return table.text();
}

std::uint64_t sum_of(const Plan& plan, StepKind kind) {
  std::uint64_t sum = 0;
  for (const auto& step : plan.steps) sum += step.kind == kind ? step.tokens : 0;
  return sum;
}

// What the model's template refused, and what was done about it.
std::string changes_text(const Plan& plan) {
  std::string text;
  for (const auto& context : plan.contexts) {
    const auto& changes = context.known.changes;
    if (!changes.empty()) text += fmt::format("  {}: {}\n", context.partition, fmt::join(changes, "; "));
  }
  return text.empty() ? text : "\nFor the chat template\n" + text;
}

bool any_awaits(const Plan& plan) {
  return std::any_of(plan.contexts.begin(), plan.contexts.end(),
                     [](const auto& context) { return !context.spec.content.messages_from.empty(); });
}

}  // namespace

Json to_json(const Plan& plan) {
  Json contexts = Json::array();
  for (const auto& context : plan.contexts) contexts.push_back(to_json(context));
  Json steps = Json::array();
  for (const auto& step : plan.steps) steps.push_back(to_json(step, plan));
  return {{"scenario", {{"id", plan.scenario->id}, {"path", plan.scenario->path}, {"sha256", plan.scenario->sha256}}},
          {"format", {{"name", plan.format->name}, {"sha256", plan.format->sha256}}},
          {"prompt_set", plan.settings.prompt_set.empty() ? Json(nullptr) : Json(plan.settings.prompt_set)},
          {"longest_sequence_tokens", plan.longest_sequence()},
          {"most_sequences", plan.most_sequences()},
          {"prefill_tokens", sum_of(plan, StepKind::kPrefill)},
          {"generate_tokens_at_most", sum_of(plan, StepKind::kGenerate)},
          {"contexts", std::move(contexts)},
          {"steps", std::move(steps)}};
}

std::string to_text(const Plan& plan) {
  std::string text =
      fmt::format("Plan of {} ({} turns, {} clusters) in format {}\n\nContexts, in tokens\n{}", plan.scenario->id,
                  plan.scenario->turns.size(), plan.scenario->clusters.size(), plan.format->name, context_table(plan));
  if (any_awaits(plan)) text += "  + messages are not there yet and not counted; \"longest\" bounds them.\n";
  text += changes_text(plan);
  text += fmt::format("\nSteps\n{}", step_table(plan));
  text += fmt::format("\nPrefill {}{} tokens, generate at most {}; up to {} sequences of up to {} tokens.\n",
                      sum_of(plan, StepKind::kPrefill), any_awaits(plan) ? "+" : "", sum_of(plan, StepKind::kGenerate),
                      plan.most_sequences(), plan.longest_sequence());
  return text;
}

}  // namespace bulkhead::plan
