// SPDX-License-Identifier: MIT
#include "eval/evaluation_summary.h"

#include "dataset/dataset.h"
#include "eval/endpoint.h"
#include "eval/evaluation_condition.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <utility>

namespace bulkhead::eval {
namespace {

using CellList = std::vector<const Cell*>;

Json counts_json(const AnswerCounts& counts) {
  const auto rate = [&](std::uint64_t hits) {
    return counts.questions == 0 ? Json() : Json(static_cast<double>(hits) / static_cast<double>(counts.questions));
  };
  return {{"questions", counts.questions},
          {"correct", counts.correct},
          {"accuracy", rate(counts.correct)},
          {"intrusions", counts.intrusions},
          {"intrusion_rate", rate(counts.intrusions)}};
}

// Mean negative log-likelihood over all tokens of all reference texts.
Json reference_json(const CellList& cells) {
  std::uint64_t texts = 0;
  std::uint64_t tokens = 0;
  double log_probability = 0;
  for (const auto* cell : cells) {
    if (cell->kind != kReferenceKind) continue;
    ++texts;
    tokens += cell->candidates.front().tokens;
    log_probability += cell->candidates.front().log_probability;
  }
  return {{"texts", texts},
          {"tokens", tokens},
          {"nll_per_token", tokens == 0 ? Json() : Json(-log_probability / static_cast<double>(tokens))}};
}

// Null where nothing was written.
Json outputs_json(const CellList& cells) {
  std::uint64_t texts = 0;
  std::uint64_t tokens = 0;
  std::uint64_t ended = 0;
  std::uint64_t with_foreign_facts = 0;
  std::uint64_t with_canaries = 0;
  for (const auto* cell : cells) {
    if (!cell->output) continue;
    ++texts;
    tokens += cell->output->tokens;
    ended += cell->output->ended ? 1U : 0U;
    with_foreign_facts += cell->output->foreign_facts > 0 ? 1U : 0U;
    with_canaries += cell->output->canaries > 0 ? 1U : 0U;
  }
  if (texts == 0) return {};
  return {{"texts", texts},
          {"tokens", tokens},
          {"ended", ended},
          {"with_foreign_facts", with_foreign_facts},
          {"with_canaries", with_canaries}};
}

Json kinds_json(const CellList& cells) {
  std::map<std::string, CellList> by_kind;
  for (const auto* cell : cells) {
    if (is_question(*cell)) by_kind[cell->kind].push_back(cell);
  }
  Json kinds = Json::object();
  for (const auto kind :
       {dataset::QuestionKind::kOwn, dataset::QuestionKind::kUpdated, dataset::QuestionKind::kAbsent,
        dataset::QuestionKind::kRelay, dataset::QuestionKind::kCompare, dataset::QuestionKind::kSum}) {
    const auto found = by_kind.find(std::string(name(kind)));
    if (found == by_kind.end()) continue;
    kinds[found->first] = counts_json(count_answers(found->second, Scoring::kPerToken));
  }
  return kinds;
}

// What answers, texts and costs come to over `cells` of one condition.
Json figures_json(const CellList& cells) {
  std::set<std::string_view> conversations;
  std::map<std::pair<std::string_view, std::string_view>, std::uint64_t> contexts;
  std::uint64_t item_tokens = 0;
  double seconds = 0;
  CellList primary;
  for (const auto* cell : cells) {
    conversations.insert(cell->key.conversation);
    contexts[{cell->key.conversation, cell->context}] = cell->context_tokens;
    item_tokens += cell->item_tokens;
    seconds += cell->seconds;
    if (is_primary(*cell)) primary.push_back(cell);
  }
  std::uint64_t context_tokens = 0;
  for (const auto& [key, tokens] : contexts) context_tokens += tokens;
  return {{"conversations", conversations.size()},
          {"cells", cells.size()},
          {"primary", counts_json(count_answers(primary, Scoring::kPerToken))},
          {"primary_by_total", counts_json(count_answers(primary, Scoring::kTotal))},
          {"reference", reference_json(cells)},
          {"contexts", contexts.size()},
          {"context_tokens", context_tokens},
          {"item_tokens", item_tokens},
          {"item_seconds", seconds}};
}

// The mean of each endpoint over the condition's own items.
Json endpoints_json(const CellList& cells) {
  Json json = Json::object();
  for (const auto& endpoint : endpoints()) {
    std::uint64_t items = 0;
    double sum = 0;
    for (const auto* cell : cells) {
      if (!endpoint.counts(*cell)) continue;
      ++items;
      sum += endpoint.value(*cell);
    }
    if (items == 0 && is_optional(endpoint)) continue;
    json[std::string(endpoint.name)] = {{"items", items},
                                        {"mean", items == 0 ? Json() : Json(sum / static_cast<double>(items))}};
  }
  return json;
}

Json condition_json(const EvaluationCondition& condition, const CellList& cells, const ConversationSizes& sizes) {
  Json json = {{"name", condition.name},
               {"title", condition.title},
               {"separates", condition.separates},
               {"asks", condition.asks}};
  json.update(figures_json(cells));
  json["endpoints"] = endpoints_json(cells);
  if (auto outputs = outputs_json(cells); !outputs.is_null()) json["outputs"] = std::move(outputs);
  json["kinds"] = kinds_json(cells);
  json["facets"] = Json::array();
  for (const auto& group : facet_groups(cells, sizes)) {
    Json one = {{"facet", group.facet}, {"group", group.group}};
    one.update(figures_json(group.cells));
    one.erase("primary_by_total");
    json["facets"].push_back(std::move(one));
  }
  return json;
}

std::string share(const Json& counts, const char* hits) {
  if (counts.is_null() || counts["questions"] == 0) return "-";
  const auto n = counts["questions"].get<double>();
  return fmt::format("{:.1f} % ({}/{})", 100 * counts[hits].get<double>() / n, counts[hits].get<std::uint64_t>(),
                     counts["questions"].get<std::uint64_t>());
}

}  // namespace

AnswerCounts count_answers(const std::vector<const Cell*>& cells, Scoring scoring) {
  AnswerCounts counts;
  for (const auto* cell : cells) {
    if (!is_question(*cell)) continue;
    const auto standing = chosen(*cell, scoring).standing;
    ++counts.questions;
    counts.correct += standing == Standing::kRight ? 1 : 0;
    counts.intrusions += standing == Standing::kForeign ? 1 : 0;
  }
  return counts;
}

Json summarize(const std::vector<Cell>& cells, const ConversationSizes& sizes) {
  std::map<std::string, CellList> by_condition;
  for (const auto& cell : cells) by_condition[cell.key.condition].push_back(&cell);
  Json list = Json::array();
  for (const auto& condition : evaluation_conditions()) {
    const auto found = by_condition.find(std::string(condition.name));
    if (found != by_condition.end()) list.push_back(condition_json(condition, found->second, sizes));
  }
  return list;
}

std::string summary_table(const Json& summary) {
  std::string table = fmt::format("{:16} {:>20} {:>20} {:>20} {:>20} {:>9} {:>10}\n", "condition", "intrusions",
                                  "correct", "absent right", "needs messages", "NLL/token", "tokens");
  for (const auto& condition : summary) {
    const auto& kinds = condition["kinds"];
    Json across = {{"questions", 0}, {"correct", 0}};
    for (const char* const kind : {"relay", "compare", "sum"}) {
      if (!kinds.contains(kind)) continue;
      for (const char* const field : {"questions", "correct"}) {
        across[field] = across[field].get<std::uint64_t>() + kinds[kind][field].get<std::uint64_t>();
      }
    }
    const auto& nll = condition["reference"]["nll_per_token"];
    table +=
        fmt::format("{:16} {:>20} {:>20} {:>20} {:>20} {:>9} {:>10}\n", condition["name"].get<std::string>(),
                    share(condition["primary"], "intrusions"), share(condition["primary"], "correct"),
                    share(kinds.value("absent", Json()), "correct"), share(across, "correct"),
                    nll.is_null() ? "-" : fmt::format("{:.4f}", nll.get<double>()),
                    condition["context_tokens"].get<std::uint64_t>() + condition["item_tokens"].get<std::uint64_t>());
  }
  return table;
}

}  // namespace bulkhead::eval
