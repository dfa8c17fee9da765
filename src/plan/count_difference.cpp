// SPDX-License-Identifier: MIT
#include "plan/count_difference.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <utility>

namespace bulkhead::plan {
namespace {

using conversation::OriginKind;
using conversation::TracedTokens;

constexpr std::array<std::pair<OriginKind, std::string_view>, 6> kKinds = {{
    {OriginKind::kBos, "BOS tokens"},
    {OriginKind::kTemplate, "chat template"},
    {OriginKind::kInstruction, "instruction"},
    {OriginKind::kSeparator, "separators"},
    {OriginKind::kMarker, "turn markers"},
    {OriginKind::kFrame, "message frames"},
}};

struct Counts {
  std::map<OriginKind, std::int64_t> by_kind;
  std::map<int, std::int64_t> by_turn;
};

Counts count(const TracedTokens& tokens) {
  Counts counts;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto& origin = tokens.origin(i);
    if (origin.kind == OriginKind::kTurn) {
      ++counts.by_turn[origin.turn];
    } else {
      ++counts.by_kind[origin.kind];
    }
  }
  return counts;
}

std::int64_t count_of(const std::map<int, std::int64_t>& counts, int turn) {
  const auto found = counts.find(turn);
  return found == counts.end() ? 0 : found->second;
}

std::int64_t count_of(const std::map<OriginKind, std::int64_t>& counts, OriginKind kind) {
  const auto found = counts.find(kind);
  return found == counts.end() ? 0 : found->second;
}

// Turns that one format shows and the other drops; what is left over comes from the tokenizer, which cuts a turn's ends
// otherwise when they touch a separator.
void add_turns(const Counts& first, const Counts& second, const ContextPlan& context,
               const conversation::Scenario& scenario, std::vector<CountPart>& parts) {
  std::int64_t cut_otherwise = 0;
  for (const int id : context.spec.content.turns) {
    const auto in_first = count_of(first.by_turn, id);
    const auto in_second = count_of(second.by_turn, id);
    if ((in_first == 0) == (in_second == 0)) {
      cut_otherwise += in_second - in_first;
      continue;
    }
    const auto* turn = scenario.find_turn(id);
    const bool query = turn != nullptr && turn->field == conversation::TurnField::kQuery;
    parts.push_back({fmt::format("{} of turn {}: {} against {}", query ? "query" : "text", id, in_first, in_second),
                     in_second - in_first});
  }
  if (cut_otherwise != 0) parts.push_back({"turn texts cut into other tokens", cut_otherwise});
}

CountDifference compare(const ContextPlan& first, const ContextPlan& second, const conversation::Scenario& scenario) {
  CountDifference difference;
  difference.condition = first.condition->name;
  difference.context = first.spec.name;
  difference.first = static_cast<std::uint32_t>(first.known.context.size());
  difference.second = static_cast<std::uint32_t>(second.known.context.size());
  const auto first_counts = count(first.known.context);
  const auto second_counts = count(second.known.context);
  add_turns(first_counts, second_counts, first, scenario, difference.parts);
  for (const auto& [kind, words] : kKinds) {
    const auto in_first = count_of(first_counts.by_kind, kind);
    const auto in_second = count_of(second_counts.by_kind, kind);
    if (in_first == in_second) continue;
    difference.parts.push_back({fmt::format("{}: {} against {}", words, in_first, in_second), in_second - in_first});
  }
  return difference;
}

}  // namespace

Result<std::vector<CountDifference>> count_differences(const Plan& first, const Plan& second) {
  const Error mismatch{ErrorCode::kUsage, "only plans of one scenario and the same conditions can be compared", {}, {}};
  if (first.scenario->sha256 != second.scenario->sha256 || first.contexts.size() != second.contexts.size())
    return mismatch;
  std::vector<CountDifference> differences;
  for (std::size_t i = 0; i < first.contexts.size(); ++i) {
    if (first.contexts[i].partition != second.contexts[i].partition) return mismatch;
    differences.push_back(compare(first.contexts[i], second.contexts[i], *first.scenario));
  }
  return differences;
}

}  // namespace bulkhead::plan
