// SPDX-License-Identifier: MIT
#include "eval/judge.h"

#include "engine/recording_engine.h"
#include "engines/fake/fake_engine.h"
#include "eval/bench.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace bulkhead::eval {
namespace {

using testing::TemporaryFolder;

Cell written(std::size_t conversation, const std::string& condition, const std::string& cluster, std::string text) {
  Cell cell{.key = {bench().conversations.at(conversation).scenario.id, condition, "output:" + cluster},
            .kind = std::string(kOutputKind),
            .cluster = cluster};
  cell.output = Output{.text = std::move(text), .tokens = 5};
  return cell;
}

std::vector<Cell> outputs() {
  const auto cluster = bench().conversations.at(0).scenario.clusters.at(0).id;
  const auto other = bench().conversations.at(0).scenario.clusters.at(1).id;
  return {written(0, "semantic", cluster, "The wall is done."), written(0, "sequential", cluster, "The cake is done."),
          written(0, "regrouped", cluster, "The wall is done."), written(0, "semantic", other, "Nothing."),
          written(1, "sequential", cluster, "Of a conversation without its other half.")};
}

// One pair's two judgements: what the text that stood first, and second, got more than the other, in nats.
void add_judgements(std::vector<Cell>& cells, const std::string& conversation, const std::string& criterion,
                    double as_first, double as_second) {
  for (const bool first : {true, false}) {
    Cell cell{.key = {conversation, "sequential", criterion + ":c1:" + (first ? "first" : "second")},
              .kind = std::string(kJudgementKind)};
    const double lead = first ? as_first : as_second;
    cell.candidates = {{.value = "1", .cluster = first ? "sequential" : "semantic", .tokens = 1},
                       {.value = "2", .cluster = first ? "semantic" : "sequential", .tokens = 1}};
    cell.candidates[first ? 0 : 1].log_probability = lead;
    cells.push_back(std::move(cell));
  }
}

TEST(Judge, JudgesEveryPairThatDiffersBlindInBothOrdersOnce) {
  const TemporaryFolder folder;
  engine::RecordingEngine engine(engines::fake::make_fake_engine());
  const auto format = prompt::load_format("bulkhead").value();
  auto store = RunStore::open(folder.path(), Json{{"judge", "fake"}}).value();
  std::uint64_t last = 0;
  JudgeOptions options;
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, 6U);
    last = done;
  };
  ASSERT_TRUE(judge(engine, bench(), outputs(), format, options, store).ok());
  EXPECT_EQ(last, 6U);
  const auto cells = store.cells().value();
  ASSERT_EQ(cells.size(), 6U) << "three criteria, two orders; texts that are equal or alone are left out";
  std::set<std::string> items;
  for (const auto& cell : cells) {
    EXPECT_EQ(cell.key.condition, "sequential");
    ASSERT_EQ(cell.candidates.size(), 2U);
    const bool first = cell.key.item.ends_with(":first");
    EXPECT_EQ(cell.candidates[0].cluster, first ? "sequential" : "semantic");
    EXPECT_EQ(cell.candidates[1].cluster, first ? "semantic" : "sequential");
    items.insert(cell.key.item);
  }
  EXPECT_EQ(items.size(), 6U);
  std::string shown;
  for (const auto& call : engine.transcript().calls) {
    if (call.kind != engine::CallKind::kPrefill) continue;
    for (const auto token : call.tokens) shown += engine.tokenizer().piece(token);
  }
  EXPECT_NE(shown.find("Text 1:\nThe cake is done.\n\nText 2:\nThe wall is done."), std::string::npos);
  EXPECT_NE(shown.find("Text 1:\nThe wall is done.\n\nText 2:\nThe cake is done."), std::string::npos);
  for (const auto* told : {"semantic", "sequential", "isolat"}) EXPECT_EQ(shown.find(told), std::string::npos);

  ASSERT_TRUE(judge(engine, bench(), outputs(), format, {}, store).ok());
  EXPECT_EQ(store.cells().value(), cells) << "nothing is judged twice";
}

TEST(Judge, RefusesWhatItCannotCompare) {
  const TemporaryFolder folder;
  const auto engine = engines::fake::make_fake_engine();
  const auto format = prompt::load_format("raw").value();
  auto store = RunStore::open(folder.path(), Json{{"judge", "fake"}}).value();
  const auto none = judge(*engine, bench(), {}, format, {}, store);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kBadInput);
  EXPECT_NE(none.error().advice.find("--outputs"), std::string::npos);
  auto foreign = outputs();
  for (auto& cell : foreign) cell.cluster = "c99";
  EXPECT_EQ(judge(*engine, bench(), foreign, format, {}, store).error().code, ErrorCode::kBadInput);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(judge(*engine, bench(), outputs(), format, {.cancel = stop.get_token()}, store).error().code,
            ErrorCode::kInterrupted);
}

TEST(Judge, OnlyBothOrdersTogetherAreAVerdict) {
  std::vector<Cell> cells;
  add_judgements(cells, "k1", "coherence", 2, 1);    // better in both
  add_judgements(cells, "k2", "coherence", -1, -2);  // worse in both
  add_judgements(cells, "k3", "coherence", 1, -1);   // whatever stands first
  add_judgements(cells, "k4", "coherence", 3, 1);
  for (const auto* conversation : {"k1", "k2", "k3"}) add_judgements(cells, conversation, "relevance", 1, -1);
  add_judgements(cells, "k5", "relevance", 1, 1);
  cells.pop_back();  // judged in one order only: no pair
  AnalysisPlan plan;
  plan.resamples = 200;
  plan.draws = 200;
  const auto told = judgements_json(cells, plan).value();
  ASSERT_EQ(told.size(), 2U);
  const auto& coherence = told[0];
  EXPECT_EQ(coherence["criterion"], "coherence");
  EXPECT_EQ(coherence["pairs"], 4);
  EXPECT_EQ(coherence["better"], 2);
  EXPECT_EQ(coherence["worse"], 1);
  EXPECT_EQ(coherence["split"], 1);
  EXPECT_EQ(coherence["agreement"], 0.75);
  EXPECT_EQ(coherence["mean"], 0.25);
  // First chosen: of k1 and k4 once each, of k2 once, of k3 twice.
  EXPECT_EQ(coherence["first_chosen"], 5.0 / 8);
  EXPECT_EQ(coherence["statistics"]["conversations_above"], 2);
  // A judge that always takes the first text says nothing.
  EXPECT_EQ(told[1]["pairs"], 3);
  EXPECT_EQ(told[1]["agreement"], 0.0);
  EXPECT_EQ(told[1]["first_chosen"], 1.0);
  EXPECT_EQ(told[1]["mean"], 0.0);
}

}  // namespace
}  // namespace bulkhead::eval
