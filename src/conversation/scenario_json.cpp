// SPDX-License-Identifier: MIT
#include "conversation/scenario.h"

namespace bulkhead::conversation {
namespace {

std::string_view key_of(TurnField field) {
  switch (field) {
    case TurnField::kInstruction: return "instruction";
    case TurnField::kContent: return "content";
    case TurnField::kQuery: return "query";
  }
  return "";
}

Json cluster_json(const Cluster& cluster) {
  Json json = {{"topic", cluster.topic}, {"turns", cluster.turns}, {"depends_on", cluster.depends_on}};
  if (!cluster.task_type.empty()) json["task_type"] = cluster.task_type;
  if (!cluster.terminology.empty()) json["terminology"] = cluster.terminology;
  if (!cluster.expected_output.empty()) json["expected_output"] = cluster.expected_output;
  if (!cluster.prompts.empty()) json["prompts"] = cluster.prompts;
  return json;
}

}  // namespace

Json to_json(const Scenario& scenario) {
  Json json = {{"id", scenario.id}};
  if (!scenario.domain.empty()) json["domain"] = scenario.domain;
  if (!scenario.description.empty()) json["description"] = scenario.description;
  Json clusters = Json::object();
  for (const auto& cluster : scenario.clusters) clusters[cluster.id] = cluster_json(cluster);
  json["semantic_clusters"] = std::move(clusters);
  Json turns = Json::array();
  for (const auto& turn : scenario.turns) {
    Json one = {{"turn_id", turn.id}, {"cluster", turn.cluster}, {"role", turn.role}};
    one[std::string(key_of(turn.field))] = turn.text;
    turns.push_back(std::move(one));
  }
  json["turns"] = std::move(turns);
  return json;
}

}  // namespace bulkhead::conversation
