// SPDX-License-Identifier: MIT
#include "eval/item.h"

#include <fmt/format.h>

#include <algorithm>

namespace bulkhead::eval {
namespace {

bool wanted(const std::vector<std::string>& kinds, std::string_view kind) {
  return kinds.empty() || std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

Item question_item(const dataset::Question& question) {
  Item item{.id = question.id,
            .kind = std::string(name(question.kind)),
            .cluster = question.cluster,
            .prompt = question.text,
            .lead = question.lead};
  item.candidates.push_back({.value = question.answer, .standing = Standing::kRight});
  for (const auto& wrong : question.distractors) {
    const auto& sources = question.sources;
    const bool own =
        wrong.cluster == question.cluster || std::find(sources.begin(), sources.end(), wrong.cluster) != sources.end();
    item.candidates.push_back({wrong.value, wrong.cluster, own ? Standing::kOwn : Standing::kForeign});
  }
  std::sort(item.candidates.begin(), item.candidates.end(),
            [](const Candidate& one, const Candidate& other) { return one.value < other.value; });
  return item;
}

// Of a whole text, given or to be written.
Item text_item(const conversation::Cluster& cluster, std::string_view kind) {
  Item item{.id = fmt::format("{}:{}", kind, cluster.id),
            .kind = std::string(kind),
            .cluster = cluster.id,
            .prompt = fmt::format("Write down what holds at the end in the work on {}.", cluster.topic)};
  if (kind == kReferenceKind) item.candidates.push_back({.value = cluster.expected_output});
  if (kind == kSampleKind) item.candidates.emplace_back();
  return item;
}

}  // namespace

std::vector<Item> items_of(const dataset::Conversation& conversation, const std::vector<std::string>& kinds,
                           const TextLengths& lengths) {
  std::vector<Item> items;
  for (const auto& question : conversation.questions) {
    if (wanted(kinds, name(question.kind))) items.push_back(question_item(question));
  }
  for (const auto kind : {kReferenceKind, kOutputKind, kSampleKind}) {
    const bool asked = kind == kReferenceKind || (kind == kOutputKind ? lengths.output : lengths.sample) > 0;
    if (!asked || !wanted(kinds, kind)) continue;
    for (const auto& cluster : conversation.scenario.clusters) {
      if (cluster.expected_output.empty()) continue;
      items.push_back(text_item(cluster, kind));
      if (kind == kOutputKind) items.back().output_tokens = lengths.output;
      if (kind == kSampleKind) items.back().sample_tokens = lengths.sample;
    }
  }
  return items;
}

}  // namespace bulkhead::eval
