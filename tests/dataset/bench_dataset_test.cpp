// SPDX-License-Identifier: MIT
// Holds the committed data set to its generator and to its own sentences.
#include "conversation_generator.h"
#include "dataset/fact_reader.h"
#include "json_of.h"
#include "paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace bulkhead::dataset {
namespace {

using testing::has_words;

constexpr std::uint64_t kSeed = 20260101;
const std::string kFolder = testing::source_folder() + "/datasets/bulkhead-bench";
const std::string kFile = kFolder + "/conversations.jsonl";

const Dataset& committed() {
  static const Dataset kSet = load_dataset(kFile).value();
  return kSet;
}

Json source(const std::string& name) {
  return testing::json_of(read_text_file(kFolder + "/source/" + name + ".json").value());
}

const testing::FactReader& reader_of(const std::string& domain) {
  static std::map<std::string, testing::FactReader> kReaders;
  const auto found = kReaders.find(domain);
  if (found != kReaders.end()) return found->second;
  return kReaders.emplace(domain, testing::FactReader(source("grammar"), source(domain))).first->second;
}

std::string subject_of(const Conversation& conversation, const Question& question) {
  for (const auto& slot : reader_of(conversation.scenario.domain).slots()) {
    if (slot.entity == question.entity && slot.slot == question.slot) return slot.subject;
  }
  return {};
}

// Of the sentences, not of the file's facts.
const std::vector<Fact>& facts_said(const Conversation& conversation) {
  static std::map<std::string, std::vector<Fact>> kRead;
  const auto& id = conversation.scenario.id;
  if (!kRead.contains(id)) kRead[id] = reader_of(conversation.scenario.domain).read(conversation.scenario);
  return kRead[id];
}

std::vector<std::string> values_said(const Conversation& conversation, const std::string& cluster,
                                     const Question& question) {
  std::vector<std::string> values;
  for (const auto& fact : facts_said(conversation)) {
    if (fact.cluster == cluster && fact.entity == question.entity && fact.slot == question.slot)
      values.push_back(fact.value);
  }
  return values;
}

bool said_in(const Conversation& conversation, const std::string& cluster, std::string_view words) {
  const auto& turns = conversation.scenario.turns;
  return std::any_of(turns.begin(), turns.end(),
                     [&](const auto& turn) { return turn.cluster == cluster && has_words(turn.text, words); });
}

int number_of(const std::string& value) {
  std::string digits;
  for (const char c : value.substr(0, value.find(' '))) {
    if (c != ',') digits += c;
  }
  return std::stoi(digits);
}

std::string place(const Conversation& conversation, const Question& question) {
  return conversation.scenario.id + " " + question.id;
}

TEST(BenchDataset, IsExactlyWhatTheGeneratorMakes) {
  const auto tables = bench_dataset::read_source_tables(kFolder + "/source");
  ASSERT_TRUE(tables.ok()) << tables.error().to_string();
  const auto made = bench_dataset::make_conversations(tables.value(), kSeed);
  std::string text;
  for (const auto& conversation : made) text += to_json_line(conversation) + '\n';
  const auto file = read_text_file(kFile).value();
  EXPECT_LE(file.size(), 2'500'000U);
  const auto differs = std::mismatch(file.begin(), file.end(), text.begin(), text.end()).first - file.begin();
  EXPECT_TRUE(file == text) << "run scripts/make_dataset.sh; first difference in line "
                            << std::count(file.begin(), file.begin() + differs, '\n') + 1;
  const auto other = bench_dataset::make_conversations(tables.value(), kSeed + 1);
  EXPECT_NE(to_json_line(made.front()), to_json_line(other.front()));
}

TEST(BenchDataset, HasTheShapesThatTheCardTells) {
  std::map<std::string, int> domains;
  std::map<std::size_t, int> sizes;
  std::set<std::size_t> clusters;
  std::map<QuestionKind, int> kinds;
  std::map<int, int> difficulties;
  for (const auto& conversation : committed().conversations) {
    ++domains[conversation.scenario.domain];
    ++sizes[conversation.scenario.turns.size()];
    ++difficulties[conversation.difficulty];
    clusters.insert(conversation.scenario.clusters.size());
    for (const auto& question : conversation.questions) ++kinds[question.kind];
  }
  EXPECT_EQ(committed().conversations.size(), 120U);
  EXPECT_EQ(domains.size(), 8U);
  EXPECT_EQ(sizes, (std::map<std::size_t, int>{{15, 72}, {30, 24}, {60, 24}}));
  EXPECT_EQ(clusters, (std::set<std::size_t>{3, 4, 5, 6, 7}));
  EXPECT_EQ(difficulties, (std::map<int, int>{{1, 40}, {2, 40}, {3, 40}}));
  const auto card = read_text_file(kFolder + "/README.md").value();
  const auto said = std::to_string(kinds[QuestionKind::kUpdated]) + " updated, " +
                    std::to_string(kinds[QuestionKind::kAbsent]) + " absent";
  EXPECT_NE(card.find(said), std::string::npos) << said;
}

TEST(BenchDataset, FactsAreThoseThatTheSentencesState) {
  for (const auto& conversation : committed().conversations) {
    EXPECT_EQ(facts_said(conversation), conversation.facts) << conversation.scenario.id;
    std::set<std::string> values;
    for (const auto& fact : conversation.facts) {
      EXPECT_TRUE(values.insert(fact.value).second) << conversation.scenario.id << ": " << fact.value << " comes twice";
    }
  }
}

TEST(BenchDataset, OwnAnswersFollowFromTheirClusterAndFromNoOther) {
  for (const auto& conversation : committed().conversations) {
    for (const auto& question : conversation.questions) {
      if (question.kind != QuestionKind::kOwn && question.kind != QuestionKind::kUpdated) continue;
      const auto values = values_said(conversation, question.cluster, question);
      ASSERT_FALSE(values.empty()) << place(conversation, question);
      EXPECT_EQ(values.back(), question.answer) << place(conversation, question);
      EXPECT_EQ(values.size() > 1, question.kind == QuestionKind::kUpdated) << place(conversation, question);
      for (const auto& cluster : conversation.scenario.clusters) {
        EXPECT_EQ(said_in(conversation, cluster.id, question.answer), cluster.id == question.cluster)
            << place(conversation, question) << " " << cluster.id;
      }
    }
  }
}

TEST(BenchDataset, DistractorsAreAllOtherValuesThatAreSaid) {
  for (const auto& conversation : committed().conversations) {
    for (const auto& question : conversation.questions) {
      if (question.kind == QuestionKind::kCompare || question.kind == QuestionKind::kSum) continue;
      std::set<std::pair<std::string, std::string>> said;
      std::set<std::pair<std::string, std::string>> listed;
      for (const auto& cluster : conversation.scenario.clusters) {
        for (const auto& value : values_said(conversation, cluster.id, question)) {
          if (value != question.answer) said.emplace(cluster.id, value);
        }
      }
      for (const auto& wrong : question.distractors) listed.emplace(wrong.cluster, wrong.value);
      EXPECT_EQ(listed, said) << place(conversation, question);
      const bool foreign = std::any_of(question.distractors.begin(), question.distractors.end(),
                                       [&](const auto& wrong) { return wrong.cluster != question.cluster; });
      EXPECT_TRUE(foreign) << place(conversation, question) << ": nothing collides";
    }
  }
}

TEST(BenchDataset, AbsentFactsAreSaidByOthersOnly) {
  for (const auto& conversation : committed().conversations) {
    for (const auto& question : conversation.questions) {
      if (question.kind != QuestionKind::kAbsent) continue;
      EXPECT_TRUE(values_said(conversation, question.cluster, question).empty()) << place(conversation, question);
      EXPECT_EQ(question.answer, "not known here");
    }
  }
}

TEST(BenchDataset, IntegrationAnswersRestOnClustersWhoseOutputsAreReceived) {
  for (const auto& conversation : committed().conversations) {
    for (const auto& question : conversation.questions) {
      if (!needs_messages(question.kind)) continue;
      const auto& asked = *conversation.scenario.find_cluster(question.cluster);
      std::vector<std::string> values;
      for (const auto& id : question.sources) {
        EXPECT_NE(id, question.cluster);
        EXPECT_EQ(std::count(asked.depends_on.begin(), asked.depends_on.end(), id), 1) << place(conversation, question);
        const auto& source = *conversation.scenario.find_cluster(id);
        EXPECT_TRUE(has_words(question.text, source.topic)) << place(conversation, question);
        values.push_back(values_said(conversation, id, question).back());
        EXPECT_TRUE(has_words(source.expected_output, values.back())) << place(conversation, question);
        EXPECT_FALSE(said_in(conversation, question.cluster, values.back())) << place(conversation, question);
      }
      if (question.kind == QuestionKind::kRelay) {
        EXPECT_EQ(values, std::vector<std::string>{question.answer}) << place(conversation, question);
      } else if (question.kind == QuestionKind::kSum) {
        EXPECT_EQ(number_of(question.answer), number_of(values.at(0)) + number_of(values.at(1)));
      } else {
        const auto& higher = question.sources[number_of(values.at(0)) > number_of(values.at(1)) ? 0 : 1];
        EXPECT_EQ(question.answer, conversation.scenario.find_cluster(higher)->topic);
      }
    }
  }
}

TEST(BenchDataset, QuestionsNameTopicAndSubject) {
  for (const auto& conversation : committed().conversations) {
    for (const auto& question : conversation.questions) {
      const auto subject = subject_of(conversation, question);
      ASSERT_FALSE(subject.empty());
      EXPECT_NE(question.text.find(subject), std::string::npos) << place(conversation, question);
      if (needs_messages(question.kind)) continue;
      const auto& topic = conversation.scenario.find_cluster(question.cluster)->topic;
      EXPECT_NE(question.text.find(topic), std::string::npos) << place(conversation, question);
    }
  }
}

TEST(BenchDataset, ReferencesHoldWhatHoldsAtTheEnd) {
  for (const auto& conversation : committed().conversations) {
    for (const auto& cluster : conversation.scenario.clusters) {
      for (const auto& fact : conversation.facts) {
        const auto* current = current_fact(conversation, fact.cluster, fact.entity, fact.slot);
        EXPECT_EQ(has_words(cluster.expected_output, fact.value), fact.cluster == cluster.id && current == &fact)
            << conversation.scenario.id << " " << cluster.id << ": " << fact.value;
      }
    }
  }
}

TEST(BenchDataset, TerminologyAndCanariesStandInTheirClusterOnly) {
  std::set<std::string> canaries;
  for (const auto& conversation : committed().conversations) {
    const auto& clusters = conversation.scenario.clusters;
    for (std::size_t c = 0; c < clusters.size(); ++c) {
      auto marks = clusters[c].terminology;
      EXPECT_FALSE(marks.empty()) << conversation.scenario.id;
      marks.push_back(conversation.canaries[c]);
      EXPECT_TRUE(canaries.insert(conversation.canaries[c]).second) << conversation.canaries[c];
      for (const auto& mark : marks) {
        for (const auto& other : clusters) {
          EXPECT_EQ(said_in(conversation, other.id, mark), other.id == clusters[c].id)
              << conversation.scenario.id << ": " << mark;
        }
      }
    }
  }
}

}  // namespace
}  // namespace bulkhead::dataset
