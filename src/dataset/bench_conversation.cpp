// SPDX-License-Identifier: MIT
#include "dataset/bench_conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>

namespace bulkhead::dataset {
namespace {

constexpr std::array kKinds = {QuestionKind::kOwn,   QuestionKind::kUpdated, QuestionKind::kAbsent,
                               QuestionKind::kRelay, QuestionKind::kCompare, QuestionKind::kSum};
constexpr int kHardest = 3;

Result<std::string> text_at(const JsonView& object, std::string_view key) {
  BH_TRY(const auto view, object.at(key));
  BH_TRY(auto text, view.string());
  if (text.empty()) return view.fail("the text is empty");
  return text;
}

Result<std::string> cluster_at(const JsonView& object, std::string_view key, const Conversation& conversation) {
  BH_TRY(auto id, text_at(object, key));
  if (conversation.scenario.find_cluster(id) == nullptr) {
    BH_TRY(const auto view, object.at(key));
    return view.fail(fmt::format("there is no cluster \"{}\"", id));
  }
  return id;
}

Result<Fact> read_fact(const JsonView& view, const Conversation& conversation) {
  BH_CHECK(view.only({"cluster", "turn", "entity", "slot", "value"}));
  Fact fact;
  BH_TRY(fact.cluster, cluster_at(view, "cluster", conversation));
  BH_TRY(const auto turn_view, view.at("turn"));
  BH_TRY(const auto turn, turn_view.integer(0, std::numeric_limits<int>::max()));
  fact.turn = static_cast<int>(turn);
  BH_TRY(fact.entity, text_at(view, "entity"));
  BH_TRY(fact.slot, text_at(view, "slot"));
  BH_TRY(fact.value, text_at(view, "value"));
  const auto* stated = conversation.scenario.find_turn(fact.turn);
  if (stated == nullptr || stated->cluster != fact.cluster) {
    return turn_view.fail(fmt::format("the cluster \"{}\" has no turn {}", fact.cluster, fact.turn));
  }
  if (stated->text.find(fact.value) == std::string::npos) {
    return view.fail(fmt::format("turn {} does not say \"{}\"", fact.turn, fact.value));
  }
  return fact;
}

Result<QuestionKind> read_kind(const JsonView& object) {
  BH_TRY(const auto word, text_at(object, "kind"));
  const auto* found = std::find_if(kKinds.begin(), kKinds.end(), [&](QuestionKind kind) { return name(kind) == word; });
  if (found != kKinds.end()) return *found;
  BH_TRY(const auto view, object.at("kind"));
  return view.fail(fmt::format("unknown kind \"{}\"", word), "known: own, updated, absent, relay, compare, sum");
}

Result<std::vector<Distractor>> read_distractors(const JsonView& object, const Question& question,
                                                 const Conversation& conversation) {
  BH_TRY(const auto view, object.at("distractors"));
  BH_TRY(const auto items, view.items());
  if (items.empty()) return view.fail("a question needs a wrong answer to choose from");
  std::vector<Distractor> distractors;
  std::set<std::string> values = {question.answer};
  for (const auto& item : items) {
    BH_CHECK(item.only({"cluster", "value"}));
    Distractor one;
    BH_TRY(one.cluster, cluster_at(item, "cluster", conversation));
    BH_TRY(one.value, text_at(item, "value"));
    if (!values.insert(one.value).second) return item.fail(fmt::format("\"{}\" is there twice", one.value));
    distractors.push_back(std::move(one));
  }
  return distractors;
}

Result<Question> read_question(const JsonView& view, const Conversation& conversation) {
  BH_CHECK(view.only({"id", "cluster", "kind", "entity", "slot", "text", "lead", "answer", "distractors", "sources"}));
  Question question;
  BH_TRY(question.id, text_at(view, "id"));
  BH_TRY(question.cluster, cluster_at(view, "cluster", conversation));
  BH_TRY(question.kind, read_kind(view));
  BH_TRY(question.entity, view.string_or("entity", {}));
  BH_TRY(question.slot, view.string_or("slot", {}));
  BH_TRY(question.text, text_at(view, "text"));
  BH_TRY(question.lead, view.string_or("lead", {}));
  BH_TRY(question.answer, text_at(view, "answer"));
  BH_TRY(question.distractors, read_distractors(view, question, conversation));
  if (!view.has("sources")) return question;
  BH_TRY(const auto sources_view, view.at("sources"));
  BH_TRY(question.sources, sources_view.strings());
  for (const auto& source : question.sources) {
    if (conversation.scenario.find_cluster(source) == nullptr) {
      return sources_view.fail(fmt::format("there is no cluster \"{}\"", source));
    }
  }
  return question;
}

Result<void> read_canaries(const JsonView& root, Conversation& conversation) {
  if (!root.has("canaries")) return {};
  BH_TRY(const auto view, root.at("canaries"));
  BH_TRY(conversation.canaries, view.strings());
  const auto clusters = conversation.scenario.clusters.size();
  if (conversation.canaries.size() != clusters) {
    return view.fail(fmt::format("{} canaries for {} clusters", conversation.canaries.size(), clusters));
  }
  return {};
}

}  // namespace

Result<Conversation> read_bench_conversation(const JsonView& root) {
  BH_CHECK(root.only({"scenario", "difficulty", "canaries", "facts", "questions"}));
  Conversation conversation;
  BH_TRY(const auto scenario, root.at("scenario"));
  BH_TRY(conversation.scenario, conversation::read_scenario(scenario));
  if (root.has("difficulty")) {
    BH_TRY(const auto view, root.at("difficulty"));
    BH_TRY(const auto difficulty, view.integer(0, kHardest));
    conversation.difficulty = static_cast<int>(difficulty);
  }
  BH_CHECK(read_canaries(root, conversation));
  if (root.has("facts")) {
    BH_TRY(const auto view, root.at("facts"));
    BH_TRY(const auto items, view.items());
    for (const auto& item : items) {
      BH_TRY(auto fact, read_fact(item, conversation));
      conversation.facts.push_back(std::move(fact));
    }
  }
  if (!root.has("questions")) return conversation;
  BH_TRY(const auto view, root.at("questions"));
  BH_TRY(const auto items, view.items());
  std::set<std::string> ids;
  for (const auto& item : items) {
    BH_TRY(auto question, read_question(item, conversation));
    if (!ids.insert(question.id).second) return item.fail(fmt::format("the id \"{}\" is used twice", question.id));
    conversation.questions.push_back(std::move(question));
  }
  return conversation;
}

std::string to_json_line(const Conversation& conversation) {
  Json json = {{"scenario", conversation::to_json(conversation.scenario)}};
  if (conversation.difficulty != 0) json["difficulty"] = conversation.difficulty;
  if (!conversation.canaries.empty()) json["canaries"] = conversation.canaries;
  for (const auto& fact : conversation.facts) {
    json["facts"].push_back({{"cluster", fact.cluster},
                             {"turn", fact.turn},
                             {"entity", fact.entity},
                             {"slot", fact.slot},
                             {"value", fact.value}});
  }
  for (const auto& question : conversation.questions) {
    Json one = {{"id", question.id},          {"cluster", question.cluster}, {"kind", name(question.kind)},
                {"entity", question.entity},  {"slot", question.slot},       {"text", question.text},
                {"lead", question.lead},      {"answer", question.answer},   {"distractors", Json::array()},
                {"sources", question.sources}};
    for (const auto& wrong : question.distractors) {
      one["distractors"].push_back({{"cluster", wrong.cluster}, {"value", wrong.value}});
    }
    json["questions"].push_back(std::move(one));
  }
  return json_text(json);
}

}  // namespace bulkhead::dataset
