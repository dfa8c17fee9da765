// SPDX-License-Identifier: MIT
#include "eval/facet.h"

#include "eval/endpoint.h"
#include "eval/evaluation_condition.h"
#include "eval/paired_items.h"
#include "measure/bootstrap.h"

#include <algorithm>
#include <array>
#include <utility>

namespace bulkhead::eval {
namespace {

using CellList = std::vector<const Cell*>;

constexpr std::array<std::size_t, 4> kDistances = {0, 5, 10, 20};  // fewest turns of each group

// Which group a cell is in; null: in none.
struct Facet {
  std::string_view name;
  Json (*group)(const Cell& cell, const ConversationSizes& sizes);
};

const ConversationSize* size_of(const Cell& cell, const ConversationSizes& sizes) {
  const auto found = sizes.find(cell.key.conversation);
  return found == sizes.end() ? nullptr : &found->second;
}

Json place_of(const Cell& cell, const ConversationSizes& sizes) {
  const auto* size = size_of(cell, sizes);
  if (size == nullptr) return {};
  const auto found = size->places.find(cell.cluster);
  return found == size->places.end() ? Json() : Json(found->second);
}

Json distance_of(const Cell& cell, const ConversationSizes& sizes) {
  const auto* size = size_of(cell, sizes);
  if (size == nullptr) return {};
  const auto found = size->turns_since.find(cell.key.item);
  if (found == size->turns_since.end()) return {};
  std::size_t least = 0;
  for (const auto bound : kDistances) {
    if (found->second >= bound) least = bound;
  }
  return least;
}

constexpr std::array<Facet, 6> kFacets = {{
    {"domain", [](const Cell& cell, const ConversationSizes& /*sizes*/) { return Json(cell.domain); }},
    {"difficulty", [](const Cell& cell, const ConversationSizes& /*sizes*/) { return Json(cell.difficulty); }},
    {"clusters",
     [](const Cell& cell, const ConversationSizes& sizes) {
       const auto* size = size_of(cell, sizes);
       return size == nullptr ? Json() : Json(size->clusters);
     }},
    {"turns",
     [](const Cell& cell, const ConversationSizes& sizes) {
       const auto* size = size_of(cell, sizes);
       return size == nullptr ? Json() : Json(size->turns);
     }},
    {"place", place_of},
    {"distance", distance_of},
}};

constexpr std::array<std::string_view, 2> kCompared = {"intrusions", "accuracy"};

std::vector<FacetGroup> groups_of_kinds(const CellList& cells) {
  std::map<std::string, CellList> by_kind;
  for (const auto* cell : cells) {
    if (is_question(*cell)) by_kind[cell->kind].push_back(cell);
  }
  std::vector<FacetGroup> groups;
  for (const auto kind :
       {dataset::QuestionKind::kOwn, dataset::QuestionKind::kUpdated, dataset::QuestionKind::kAbsent,
        dataset::QuestionKind::kRelay, dataset::QuestionKind::kCompare, dataset::QuestionKind::kSum}) {
    const auto found = by_kind.find(std::string(name(kind)));
    if (found != by_kind.end()) groups.push_back({"kind", found->first, std::move(found->second)});
  }
  return groups;
}

Result<Json> difference_json(const FacetGroup& group, const Endpoint& endpoint, std::string_view condition,
                             const AnalysisPlan& plan) {
  const auto pairs = pair_items(group.cells, endpoint, condition, kBaseline);
  if (pairs.differences.empty()) return Json();
  Json json = {{"facet", group.facet},
               {"group", group.group},
               {"endpoint", endpoint.name},
               {"condition", condition},
               {"items", pairs.differences.size()},
               {"conversations", pairs.conversations},
               {"mean", pairs.mean_first},
               {"mean_against", pairs.mean_second},
               {"difference", pairs.difference()},
               {"interval", nullptr}};
  if (pairs.conversations < 2) return json;
  BH_TRY(const auto drawn,
         measure::bootstrap_mean(pairs.differences, pairs.clusters,
                                 {.confidence = 1 - plan.alpha, .resamples = plan.resamples, .seed = plan.seed}));
  const auto& bounds = drawn.bca ? *drawn.bca : drawn.percentile;
  json["interval"] = {bounds.low, bounds.high};
  return json;
}

std::map<std::string, std::string> places_of(const conversation::Scenario& scenario) {
  std::map<std::string, std::string> places;
  for (const auto& cluster : scenario.clusters) places[cluster.id] = "middle";
  if (places.size() < 2) return {};
  places[scenario.clusters.front().id] = "first";
  places[scenario.clusters.back().id] = "last";
  return places;
}

std::map<std::string, std::size_t> turns_since_facts(const dataset::Conversation& conversation) {
  std::map<std::string, std::size_t> distances;
  const auto& turns = conversation.scenario.turns;
  for (const auto& question : conversation.questions) {
    using dataset::QuestionKind;
    if (question.kind != QuestionKind::kOwn && question.kind != QuestionKind::kUpdated) continue;
    const auto* fact = dataset::current_fact(conversation, question.cluster, question.entity, question.slot);
    if (fact == nullptr) continue;
    const auto stated = std::find_if(turns.begin(), turns.end(), [&](const auto& one) { return one.id == fact->turn; });
    if (stated != turns.end()) distances[question.id] = static_cast<std::size_t>(turns.end() - stated) - 1;
  }
  return distances;
}

}  // namespace

ConversationSizes sizes_of(const dataset::Dataset& dataset) {
  ConversationSizes sizes;
  for (const auto& conversation : dataset.conversations) {
    const auto& scenario = conversation.scenario;
    sizes[scenario.id] = {scenario.clusters.size(), scenario.turns.size(), places_of(scenario),
                          turns_since_facts(conversation)};
  }
  return sizes;
}

std::vector<FacetGroup> facet_groups(const CellList& cells, const ConversationSizes& sizes) {
  std::vector<FacetGroup> groups;
  for (const auto& facet : kFacets) {
    std::map<Json, CellList> by_group;
    for (const auto* cell : cells) {
      auto group = facet.group(*cell, sizes);
      if (!group.is_null()) by_group[std::move(group)].push_back(cell);
    }
    for (auto& [group, list] : by_group) {
      groups.push_back({facet.name, group.is_string() ? group.get<std::string>() : json_text(group), std::move(list)});
    }
  }
  return groups;
}

Result<Json> facet_differences(const std::vector<Cell>& cells, const ConversationSizes& sizes,
                               const AnalysisPlan& plan) {
  CellList all;
  for (const auto& cell : cells) all.push_back(&cell);
  auto groups = facet_groups(all, sizes);
  for (auto& group : groups_of_kinds(all)) groups.push_back(std::move(group));
  Json list = Json::array();
  for (const auto& group : groups) {
    for (const auto& compared : kCompared) {
      auto endpoint = *find_endpoint(compared);
      if (group.facet == "kind") endpoint.counts = is_question;  // all questions of the group's kind
      for (const auto& condition : evaluation_conditions()) {
        if (condition.name == kBaseline) continue;
        BH_TRY(auto one, difference_json(group, endpoint, condition.name, plan));
        if (!one.is_null()) list.push_back(std::move(one));
      }
    }
  }
  return list;
}

}  // namespace bulkhead::eval
