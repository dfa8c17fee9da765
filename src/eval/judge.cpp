// SPDX-License-Identifier: MIT
#include "eval/judge.h"

#include "eval/cell_runner.h"
#include "eval/paired_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace bulkhead::eval {
namespace {

constexpr std::array<Criterion, 3> kCriteria = {{
    {"coherence", "Which text hangs together better, from sentence to sentence?"},
    {"relevance", "Which text keeps better to its topic, and leaves out what belongs to other work?"},
    {"actionability", "From which text can somebody who does this work act more easily?"},
}};
constexpr std::string_view kFirst = "first";
constexpr std::string_view kSecond = "second";
constexpr std::string_view kLead = "The better one is text number";

// A condition's output and semantic's of the same topic.
struct Pair {
  const Cell* output = nullptr;
  const Cell* against = nullptr;
  const conversation::Cluster* cluster = nullptr;
};

using OutputKey = std::pair<std::string, std::string>;  // conversation, item

Result<const conversation::Cluster*> cluster_of(const dataset::Dataset& dataset, const Cell& cell) {
  for (const auto& conversation : dataset.conversations) {
    if (conversation.scenario.id != cell.key.conversation) continue;
    for (const auto& cluster : conversation.scenario.clusters) {
      if (cluster.id == cell.cluster) return &cluster;
    }
  }
  return Error{ErrorCode::kBadInput,
               fmt::format("the data set has no topic {} in a conversation {}", cell.cluster, cell.key.conversation),
               dataset.name, "give the data set that was evaluated"};
}

Result<std::vector<Pair>> pairs_of(const dataset::Dataset& dataset, const std::vector<Cell>& cells) {
  std::map<OutputKey, const Cell*> isolated;
  for (const auto& cell : cells) {
    if (cell.output && cell.key.condition == kBaseline) isolated[{cell.key.conversation, cell.key.item}] = &cell;
  }
  std::vector<Pair> pairs;
  for (const auto& cell : cells) {
    if (!cell.output || cell.key.condition == kBaseline) continue;
    const auto found = isolated.find({cell.key.conversation, cell.key.item});
    if (found == isolated.end() || found->second->output->text == cell.output->text) continue;
    BH_TRY(const auto* cluster, cluster_of(dataset, cell));
    pairs.push_back({&cell, found->second, cluster});
  }
  if (pairs.empty()) {
    return Error{ErrorCode::kBadInput,
                 "there are no outputs of semantic and another condition to compare",
                 {},
                 "run bulkhead eval with --outputs and both conditions first"};
  }
  return pairs;
}

Item item_of(const Pair& pair, const Criterion& criterion, std::string_view place) {
  const bool first = place == kFirst;
  const auto& one = (first ? pair.output : pair.against)->output->text;
  const auto& two = (first ? pair.against : pair.output)->output->text;
  Item item{
      .id = fmt::format("{}:{}:{}", criterion.name, pair.cluster->id, place),
      .kind = std::string(kJudgementKind),
      .cluster = pair.cluster->id,
      .prompt = fmt::format("Two people wrote down what holds in the work on {}.\n\nText 1:\n{}\n\nText 2:\n{}\n\n{}",
                            pair.cluster->topic, one, two, criterion.question),
      .lead = std::string(kLead)};
  item.candidates.push_back({.value = "1", .cluster = (first ? pair.output : pair.against)->key.condition});
  item.candidates.push_back({.value = "2", .cluster = (first ? pair.against : pair.output)->key.condition});
  return item;
}

// The criteria of one pair in one order share the texts.
Result<void> judge_pair(engine::Engine& engine, const Pair& pair, std::string_view place, const prompt::Format& format,
                        const JudgeOptions& options, RunStore& store, const std::function<void()>& told) {
  std::vector<Item> items;
  for (const auto& criterion : kCriteria) items.push_back(item_of(pair, criterion, place));
  const auto key_of = [&](const std::string& item) {
    return CellKey{pair.output->key.conversation, pair.output->key.condition, item};
  };
  const auto wanted = [&](const Item& item) { return !store.has(key_of(item.id)); };
  BH_TRY(auto prepared, prepare_items({}, items, format, engine.tokenizer()));
  prepared.name = fmt::format("judge/{}", pair.cluster->id);
  const auto done = [&](Cell cell) -> Result<void> {
    cell.key = key_of(cell.key.item);
    cell.domain = pair.output->domain;
    cell.difficulty = pair.output->difficulty;
    BH_CHECK(store.add(cell));
    told();
    return {};
  };
  return run_context(engine, prepared, wanted, done, options.cancel);
}

// How much rather the condition's text than semantic's, in nats.
double odds(const Cell& judgement) {
  const auto& one = judgement.candidates.at(0);
  const auto& two = judgement.candidates.at(1);
  const double first = one.log_probability - two.log_probability;
  return one.cluster == judgement.key.condition ? first : -first;
}

struct Tally {
  std::size_t better = 0;
  std::size_t worse = 0;
  std::size_t split = 0;
  std::size_t first_chosen = 0;  // of judgements, two for each pair
  PairedItems items = {};
};

// By criterion and condition, in the order of the criteria. Pairs judged in one order only are left out.
using Tallies = std::map<std::pair<std::size_t, std::string>, Tally>;

void add_pair(Tally& tally, const Cell& first, const Cell& second, std::size_t conversation) {
  const bool as_first = odds(first) > 0;
  const bool as_second = odds(second) > 0;
  tally.first_chosen += (as_first ? 1U : 0U) + (as_second ? 0U : 1U);
  const bool agreed = as_first == as_second;
  ++(!agreed ? tally.split : as_first ? tally.better : tally.worse);
  tally.items.differences.push_back(!agreed ? 0.0 : as_first ? 1.0 : -1.0);
  tally.items.clusters.push_back(conversation);
}

Tallies tallies_of(const std::vector<Cell>& judgements) {
  std::map<CellKey, const Cell*> by_key;
  std::map<std::string, std::size_t> conversations;
  for (const auto& cell : judgements) {
    by_key[cell.key] = &cell;
    conversations.emplace(cell.key.conversation, conversations.size());
  }
  Tallies tallies;
  for (const auto& [key, cell] : by_key) {
    if (!key.item.ends_with(kFirst)) continue;
    auto other = key;
    other.item.replace(other.item.size() - kFirst.size(), kFirst.size(), kSecond);
    const auto second = by_key.find(other);
    const auto* criterion = std::find_if(kCriteria.begin(), kCriteria.end(), [&](const Criterion& one) {
      return key.item.starts_with(fmt::format("{}:", one.name));
    });
    if (second == by_key.end() || criterion == kCriteria.end()) continue;
    auto& tally = tallies[{static_cast<std::size_t>(criterion - kCriteria.begin()), key.condition}];
    add_pair(tally, *cell, *second->second, conversations.at(key.conversation));
  }
  for (auto& [key, tally] : tallies) {
    auto seen = tally.items.clusters;
    std::sort(seen.begin(), seen.end());
    tally.items.conversations = static_cast<std::size_t>(std::unique(seen.begin(), seen.end()) - seen.begin());
  }
  return tallies;
}

Result<Json> tally_json(std::string_view criterion, const std::string& condition, const Tally& tally,
                        const AnalysisPlan& plan) {
  const auto pairs = static_cast<double>(tally.items.differences.size());
  Json json = {{"criterion", criterion},
               {"condition", condition},
               {"against", kBaseline},
               {"pairs", tally.items.differences.size()},
               {"conversations", tally.items.conversations},
               {"better", tally.better},
               {"worse", tally.worse},
               {"split", tally.split},
               {"agreement", 1 - static_cast<double>(tally.split) / pairs},
               {"first_chosen", static_cast<double>(tally.first_chosen) / (2 * pairs)},
               {"mean", (static_cast<double>(tally.better) - static_cast<double>(tally.worse)) / pairs},
               {"statistics", nullptr}};
  if (tally.items.conversations < 2) return json;
  BH_TRY(json["statistics"], paired_statistics(tally.items, plan));
  return json;
}

}  // namespace

std::span<const Criterion> criteria() noexcept {
  return kCriteria;
}

Result<void> judge(engine::Engine& engine, const dataset::Dataset& dataset, const std::vector<Cell>& cells,
                   const prompt::Format& format, const JudgeOptions& options, RunStore& store) {
  if (!engine.can(engine::Capability::kScore)) {
    return Error{ErrorCode::kUnsupported, fmt::format("the engine {} cannot score given tokens", engine.facts().engine),
                 "--engine", "choose llama, transformers, mlx or fake"};
  }
  BH_TRY(const auto pairs, pairs_of(dataset, cells));
  const auto before = store.size();
  const auto total = 2 * kCriteria.size() * pairs.size();
  const auto told = [&] {
    if (options.progress) options.progress(store.size() - before, total - std::min<std::size_t>(before, total));
  };
  told();
  for (const auto& pair : pairs) {
    for (const auto place : {kFirst, kSecond}) {
      BH_CHECK(judge_pair(engine, pair, place, format, options, store, told));
    }
  }
  return {};
}

Result<Json> judgements_json(const std::vector<Cell>& judgements, const AnalysisPlan& plan) {
  Json list = Json::array();
  const auto tallies = tallies_of(judgements);
  for (std::size_t i = 0; i < kCriteria.size(); ++i) {
    std::vector<Json> of_criterion;
    for (const auto& [key, tally] : tallies) {
      if (key.first != i) continue;
      BH_TRY(auto json, tally_json(kCriteria.at(i).name, key.second, tally, plan));
      of_criterion.push_back(std::move(json));
    }
    BH_CHECK(add_holm(of_criterion));
    for (auto& one : of_criterion) list.push_back(std::move(one));
  }
  return list;
}

}  // namespace bulkhead::eval
