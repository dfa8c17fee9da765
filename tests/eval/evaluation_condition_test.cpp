// SPDX-License-Identifier: MIT
#include "eval/evaluation_condition.h"

#include "dataset/fact_reader.h"
#include "eval/filler.h"
#include "paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace bulkhead::eval {
namespace {

using dataset::Conversation;

constexpr std::uint64_t kSeed = 7;

const dataset::Dataset& bench() {
  static const auto kSet =
      dataset::load_dataset(testing::source_folder() + "/datasets/bulkhead-bench/conversations.jsonl");
  return kSet.value();
}

// 15, 30 and 60 turns.
std::vector<const Conversation*> some() {
  const auto& all = bench().conversations;
  return {&all[0], &all[2], &all[4], &all[119]};
}

const prompt::Format& raw() {
  static const auto kFormat = prompt::load_format("raw").value();
  return kFormat;
}

std::vector<EvaluationContext> contexts(const char* name, const Conversation& conversation,
                                        std::uint64_t seed = kSeed) {
  return find_evaluation_condition(name).value()->contexts(conversation, seed);
}

std::vector<Segment> segments(const EvaluationContext& context, const Conversation& conversation) {
  return segments_of(context, conversation, raw());
}

std::vector<Segment> turns_of(const Conversation& conversation, const std::string& cluster = {}) {
  std::vector<Segment> list;
  for (const auto& turn : conversation.scenario.turns) {
    if (cluster.empty() || turn.cluster == cluster) list.push_back({turn.cluster, turn.text});
  }
  return list;
}

std::size_t bytes(const std::vector<Segment>& list) {
  std::size_t sum = 0;
  for (const auto& segment : list) sum += segment.text.size();
  return sum;
}

bool shows(const std::vector<Segment>& list, std::string_view text) {
  return std::any_of(list.begin(), list.end(), [&](const Segment& one) { return testing::has_words(one.text, text); });
}

TEST(EvaluationCondition, EveryClusterIsAskedInExactlyOneContext) {
  for (const auto& condition : evaluation_conditions()) {
    for (const auto* conversation : some()) {
      std::multiset<std::string> asked;
      for (const auto& context : condition.contexts(*conversation, kSeed)) {
        asked.insert(context.spec.clusters.begin(), context.spec.clusters.end());
      }
      std::multiset<std::string> all;
      for (const auto& cluster : conversation->scenario.clusters) all.insert(cluster.id);
      EXPECT_EQ(asked, all) << condition.name;
    }
  }
  EXPECT_FALSE(find_evaluation_condition("random").ok());
}

TEST(EvaluationCondition, OneCacheShowsAllTurnsInOrder) {
  for (const auto* conversation : some()) {
    const auto all = turns_of(*conversation);
    EXPECT_EQ(segments(contexts("sequential", *conversation).at(0), *conversation), all);
    auto prompted = segments(contexts("prompted", *conversation).at(0), *conversation);
    EXPECT_EQ(prompted.front().cluster, "");
    EXPECT_NE(prompted.front().text.find(conversation->scenario.clusters.back().topic), std::string::npos);
    prompted.erase(prompted.begin());
    EXPECT_EQ(prompted, all);
    const auto marked = segments(contexts("turn_based", *conversation).at(0), *conversation);
    ASSERT_EQ(marked.size(), all.size());
    EXPECT_EQ(marked[4].text, "[Turn 5]\n" + all[4].text);
  }
}

TEST(EvaluationCondition, RegroupedIsTheSameTextSortedByTopic) {
  for (const auto* conversation : some()) {
    std::vector<Segment> sorted;
    for (const auto& cluster : conversation->scenario.clusters) {
      const auto own = turns_of(*conversation, cluster.id);
      sorted.insert(sorted.end(), own.begin(), own.end());
    }
    const auto regrouped = contexts("regrouped", *conversation);
    ASSERT_EQ(regrouped.size(), 1U);
    EXPECT_EQ(segments(regrouped[0], *conversation), sorted);
    EXPECT_EQ(bytes(sorted), bytes(turns_of(*conversation)));
  }
}

TEST(EvaluationCondition, SemanticShowsItsOwnTurnsAndTheMessagesItWaitsFor) {
  for (const auto* conversation : some()) {
    for (const auto& context : contexts("semantic", *conversation)) {
      const auto& cluster = *conversation->scenario.find_cluster(context.spec.clusters.at(0));
      auto shown = segments(context, *conversation);
      std::erase_if(shown, [](const Segment& one) { return one.cluster.empty(); });  // frames of messages
      std::vector<Segment> expected;
      for (const auto& id : cluster.depends_on) {
        expected.push_back({id, conversation->scenario.find_cluster(id)->expected_output});
      }
      const auto own = turns_of(*conversation, cluster.id);
      expected.insert(expected.end(), own.begin(), own.end());
      EXPECT_EQ(shown, expected) << conversation->scenario.id << " " << cluster.id;
    }
    for (const auto& context : contexts("no_messages", *conversation)) {
      EXPECT_EQ(segments(context, *conversation), turns_of(*conversation, context.spec.clusters.at(0)));
    }
  }
}

TEST(EvaluationCondition, TurnClustersShowTheLastTurnAndTheMessagesOfSemantic) {
  for (const auto* conversation : some()) {
    const auto whole = contexts("semantic", *conversation);
    const auto cut = contexts("turn_clusters", *conversation);
    ASSERT_EQ(cut.size(), whole.size());
    for (std::size_t i = 0; i < cut.size(); ++i) {
      const auto own = turns_of(*conversation, cut[i].spec.clusters.at(0));
      ASSERT_GT(own.size(), 1U);
      auto expected = segments(whole[i], *conversation);
      expected.erase(expected.end() - static_cast<std::ptrdiff_t>(own.size()), expected.end() - 1);
      EXPECT_EQ(segments(cut[i], *conversation), expected);
      EXPECT_EQ(expected.back(), own.back());
    }
  }
}

// On all conversations: what a question rests on stays, and most of the rest goes.
TEST(EvaluationCondition, ShortMessagesKeepWhatQuestionsNeed) {
  std::size_t needed = 0;
  std::size_t whole_bytes = 0;
  std::size_t short_bytes = 0;
  for (const auto& conversation : bench().conversations) {
    const auto whole = contexts("semantic", conversation);
    const auto cut = contexts("short_messages", conversation);
    ASSERT_EQ(cut.size(), whole.size());
    for (std::size_t i = 0; i < cut.size(); ++i) {
      const auto& asked = cut[i].spec.clusters.at(0);
      EXPECT_EQ(cut[i].spec.content.turns, whole[i].spec.content.turns);
      EXPECT_EQ(cut[i].spec.content.messages_from, whole[i].spec.content.messages_from);
      std::map<std::string, std::string> messages;
      for (const auto& segment : segments(cut[i], conversation)) {
        if (!segment.cluster.empty() && segment.cluster != asked) messages[segment.cluster] += segment.text;
      }
      for (const auto& [sender, text] : messages) {
        const auto& reference = conversation.scenario.find_cluster(sender)->expected_output;
        EXPECT_TRUE(text.starts_with(reference.substr(0, reference.find(". ") + 1))) << text;
        whole_bytes += reference.size();
        short_bytes += text.size();
      }
      for (const auto& question : conversation.questions) {
        if (question.cluster != asked || !dataset::needs_messages(question.kind)) continue;
        for (const auto& source : question.sources) {
          const auto* fact = dataset::current_fact(conversation, source, question.entity, question.slot);
          ASSERT_NE(fact, nullptr);
          EXPECT_NE(messages.at(source).find(fact->value), std::string::npos) << messages.at(source);
          ++needed;
        }
      }
    }
  }
  EXPECT_GT(needed, 360U);
  EXPECT_LT(short_bytes, whole_bytes * 2 / 3);
}

TEST(EvaluationCondition, SummariesShowEveryOtherClustersReference) {
  for (const auto* conversation : some()) {
    for (const auto& context : contexts("summaries", *conversation)) {
      const auto& asked = context.spec.clusters.at(0);
      auto shown = segments(context, *conversation);
      std::erase_if(shown, [](const Segment& one) { return one.cluster.empty(); });
      std::vector<Segment> expected;
      for (const auto& cluster : conversation->scenario.clusters) {
        if (cluster.id != asked) expected.push_back({cluster.id, cluster.expected_output});
      }
      const auto own = turns_of(*conversation, asked);
      expected.insert(expected.end(), own.begin(), own.end());
      EXPECT_EQ(shown, expected);
    }
  }
}

TEST(EvaluationCondition, FullTextsStandWhereMessagesStood) {
  std::size_t messages = 0;
  for (const auto* conversation : some()) {
    const auto semantic = contexts("semantic", *conversation);
    const auto full = contexts("full_texts", *conversation);
    ASSERT_EQ(full.size(), semantic.size());
    for (std::size_t i = 0; i < full.size(); ++i) {
      const auto before = segments(semantic[i], *conversation);
      const auto after = segments(full[i], *conversation);
      ASSERT_EQ(after.size(), before.size());
      for (std::size_t j = 0; j < after.size(); ++j) {
        EXPECT_EQ(after[j].cluster, before[j].cluster);
        if (after[j] == before[j]) continue;
        ++messages;
        for (const auto& turn : turns_of(*conversation, after[j].cluster)) {
          EXPECT_NE(after[j].text.find(turn.text), std::string::npos);
        }
      }
    }
  }
  EXPECT_GT(messages, 0U);
}

TEST(EvaluationCondition, FillerIsAsLongAndHoldsNothingForeign) {
  for (const auto* conversation : some()) {
    for (const auto& context : contexts("filler", *conversation)) {
      const auto& cluster = *conversation->scenario.find_cluster(context.spec.clusters.at(0));
      auto shown = segments(context, *conversation);
      // As long as all turns, less than a word for each; messages come on top.
      std::vector<Segment> turns(shown.end() - static_cast<std::ptrdiff_t>(conversation->scenario.turns.size()),
                                 shown.end());
      EXPECT_LE(bytes(turns), bytes(turns_of(*conversation)));
      EXPECT_GE(bytes(turns) + 12 * turns.size(), bytes(turns_of(*conversation)));
      std::erase_if(turns, [](const Segment& one) { return one.cluster.empty(); });
      EXPECT_EQ(turns, turns_of(*conversation, cluster.id));
      for (const auto& fact : conversation->facts) {
        const auto& sources = cluster.depends_on;
        if (fact.cluster == cluster.id || std::find(sources.begin(), sources.end(), fact.cluster) != sources.end())
          continue;
        EXPECT_FALSE(shows(shown, fact.value)) << conversation->scenario.id << ": " << fact.value;
      }
    }
  }
}

TEST(EvaluationCondition, FillerSaysNothingOfAnyDomain) {
  Filler filler(0);
  const auto text = filler.text(3000);
  EXPECT_EQ(text.find_first_of("0123456789"), std::string::npos);
  for (const auto& conversation : bench().conversations) {
    for (const auto& cluster : conversation.scenario.clusters) {
      for (const auto& term : cluster.terminology) EXPECT_EQ(text.find(term), std::string::npos) << term;
    }
    for (const auto& fact : conversation.facts) EXPECT_EQ(text.find(fact.entity), std::string::npos) << fact.entity;
  }
  for (const std::size_t size : {1U, 2U, 40U, 41U, 500U}) {
    const auto one = Filler(3).text(size);
    EXPECT_LE(one.size(), size);
    EXPECT_GE(one.size() + 12, size);
    EXPECT_FALSE(one.empty());
  }
}

TEST(EvaluationCondition, RandomClustersKeepTheSizesAndEveryTurn) {
  std::size_t moved = 0;
  for (const auto* conversation : some()) {
    std::vector<int> all;
    for (const auto& context : contexts("random_clusters", *conversation)) {
      const auto& cluster = *conversation->scenario.find_cluster(context.spec.clusters.at(0));
      const auto& turns = context.spec.content.turns;
      EXPECT_EQ(turns.size(), cluster.turns.size());
      EXPECT_TRUE(std::is_sorted(turns.begin(), turns.end()));
      all.insert(all.end(), turns.begin(), turns.end());
      moved += turns != cluster.turns ? 1U : 0U;
    }
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all.size(), conversation->scenario.turns.size());
    EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
    const auto drawn = [&](std::uint64_t seed) {
      return contexts("random_clusters", *conversation, seed).at(0).spec.content.turns;
    };
    EXPECT_EQ(drawn(1), drawn(1));
  }
  EXPECT_GT(moved, 10U);
  const auto& one = *some().at(2);
  EXPECT_NE(contexts("random_clusters", one, 1).at(0).spec.content.turns,
            contexts("random_clusters", one, 2).at(0).spec.content.turns);
}

}  // namespace
}  // namespace bulkhead::eval
