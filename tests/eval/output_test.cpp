// SPDX-License-Identifier: MIT
#include "eval/output.h"

#include <gtest/gtest.h>

#include <string>

namespace bulkhead::eval {
namespace {

// Of three clusters: c1 and c2 stand alone, c3 receives messages from both. c4 is added, foreign to all.
dataset::Conversation conversation_of_two() {
  dataset::Conversation made;
  auto& clusters = made.scenario.clusters;
  clusters.push_back({.id = "c1", .topic = "the roof", .terminology = {"rafter", "gutter"}});
  clusters.back().expected_output = "The tiles are 40 tonnes. The handover is on 7 June.";
  clusters.push_back({.id = "c2", .topic = "the bridge", .terminology = {"pier", "gutter"}});
  clusters.push_back({.id = "c3", .topic = "the plan", .depends_on = {"c1", "c2"}, .terminology = {"budget"}});
  clusters.back().expected_output = "All is late.";
  clusters.push_back({.id = "c4", .topic = "the well", .terminology = {"pump"}});
  made.canaries = {"AAA-1", "BBB-2", "CCC-3", "DDD-4"};
  made.facts = {{"c1", 1, "tiles", "weight", "35 tonnes"}, {"c1", 2, "tiles", "weight", "40 tonnes"},
                {"c1", 3, "tiles", "handover", "7 June"},  {"c2", 4, "steel", "weight", "52 tonnes"},
                {"c2", 5, "steel", "handover", "June 7"},  {"c4", 6, "pipe", "weight", "9 tonnes"}};
  return made;
}

TEST(Output, ReferenceTextIsFullMarksAndHoldsNothingForeign) {
  const auto output =
      measure_output(conversation_of_two(), "c1", conversation_of_two().scenario.clusters[0].expected_output);
  EXPECT_NEAR(output.bleu, 100, 1e-9);
  EXPECT_NEAR(output.chrf, 100, 1e-9);
  EXPECT_EQ(output.rouge_l, 1);
  EXPECT_EQ(output.words, 11U);
  EXPECT_EQ(output.own_facts, 2U);
  EXPECT_EQ(output.foreign_facts, 0U) << "7 June is also another cluster's, in another spelling";
  EXPECT_EQ(output.canaries, 0U);
}

TEST(Output, CountsWhatIsForeignToItsCluster) {
  const std::string text =
      "A pier, a pier, a gutter and a pump. 52 tonnes of it, 52 tonnes, 9 tonnes. BBB-2 and DDD-4.";
  const auto alone = measure_output(conversation_of_two(), "c1", text);
  EXPECT_EQ(alone.own_terms, 1U) << "a gutter is of this topic too";
  EXPECT_EQ(alone.foreign_terms, 3U) << "occurrences";
  EXPECT_EQ(alone.foreign_facts, 2U) << "different values";
  EXPECT_EQ(alone.own_facts, 0U);
  EXPECT_EQ(alone.canaries, 2U);
  const auto receiver = measure_output(conversation_of_two(), "c3", text);
  EXPECT_EQ(receiver.foreign_terms, 1U) << "pump; the others' messages may bring theirs";
  EXPECT_EQ(receiver.foreign_facts, 1U) << "9 tonnes";
  EXPECT_EQ(receiver.canaries, 2U) << "no message holds a canary";
  EXPECT_EQ(measure_output(conversation_of_two(), "c1", "152 tonnes, AAA-1").foreign_facts, 0U);
  EXPECT_EQ(measure_output(conversation_of_two(), "c1", "152 tonnes, AAA-1").canaries, 0U) << "its own";
}

TEST(Output, RepetitionIsTheShareOfRepeatedPairs) {
  EXPECT_EQ(measure_output(conversation_of_two(), "c1", "").repetition, 0);
  EXPECT_EQ(measure_output(conversation_of_two(), "c1", "").chrf, 0);
  EXPECT_EQ(measure_output(conversation_of_two(), "c1", "one two three").repetition, 0);
  EXPECT_NEAR(measure_output(conversation_of_two(), "c1", "a b a b a").repetition, 0.5, 1e-12) << "two of four pairs";
}

TEST(Output, IsKeptExactlyAsJson) {
  auto output = measure_output(conversation_of_two(), "c1", "The \"tiles\"\n are 40 tonnes, 52 tonnes. BBB-2");
  output.tokens = 17;
  output.ended = true;
  EXPECT_EQ(output_from_json(to_json(output).dump()).value(), output);
  const auto whole = to_json(output);
  for (const auto& [key, value] : whole.items()) {
    auto cut = whole;
    cut.erase(key);
    const auto read = output_from_json(cut.dump());
    ASSERT_FALSE(read.ok()) << key;
    EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  }
  output.similarity = -0.125;
  EXPECT_EQ(output_from_json(to_json(output).dump()).value(), output);
  auto broken = to_json(output);
  broken["similarity"] = "near";
  EXPECT_EQ(output_from_json(broken.dump()).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(output_from_json("{").error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace bulkhead::eval
