// SPDX-License-Identifier: MIT
#include "eval/comparison.h"

#include "dataset/dataset.h"
#include "json_of.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace bulkhead::eval {
namespace {

constexpr int kConversations = 12;

// `intrudes` out of every ten questions are answered with another cluster's value.
void add_cells(std::vector<Cell>& cells, const std::string& condition, int intrudes) {
  for (int conversation = 0; conversation < kConversations; ++conversation) {
    for (int question = 0; question < 10; ++question) {
      const bool foreign = (question + conversation) % 10 < intrudes;
      Cell cell{.key = {"c" + std::to_string(conversation), condition, "q" + std::to_string(question)}, .kind = "own"};
      cell.candidates = {{"a", "", Standing::kRight, foreign ? -3.0 : -1.0, 1},
                         {"b", "c2", Standing::kForeign, -2.0, 1}};
      cells.push_back(std::move(cell));
    }
  }
}

AnalysisPlan plan() {
  AnalysisPlan plan;
  plan.resamples = 500;
  plan.hypotheses = {{"intrusions", "semantic", "sequential"}, {"intrusions", "semantic", "regrouped"}};
  plan.no_worse = {{"accuracy", "semantic", "regrouped", 0.03}, {"intrusions", "regrouped", "semantic", 0.03}};
  return plan;
}

TEST(Comparison, GivesDifferencesByConversation) {
  std::vector<Cell> cells;
  add_cells(cells, "semantic", 1);
  add_cells(cells, "sequential", 4);
  const auto made = compare(cells, plan());
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  const auto& comparisons = (*made)["comparisons"];
  ASSERT_EQ(comparisons.size(), 2U) << "intrusions and accuracy; there are no other items";
  const auto& one = comparisons[0];
  EXPECT_EQ(one["endpoint"], "intrusions");
  EXPECT_EQ(one["condition"], "sequential");
  EXPECT_EQ(one["items"], 120);
  EXPECT_EQ(one["conversations"], kConversations);
  EXPECT_NEAR(one["mean"].get<double>(), 0.4, 1e-12);
  EXPECT_NEAR(one["mean_against"].get<double>(), 0.1, 1e-12);
  EXPECT_NEAR(one["difference"].get<double>(), 0.3, 1e-12);
  EXPECT_EQ(one["statistics"]["conversations_above"], kConversations);
  // Of 2^12 sign flips only two are as far from 0.
  EXPECT_NEAR(one["statistics"]["p"].get<double>(), 2.0 / 4096, 1e-12);
  EXPECT_EQ(one["statistics"]["p_holm"], one["statistics"]["p"]);
  EXPECT_NEAR(comparisons[1]["difference"].get<double>(), -0.3, 1e-12) << "accuracy";
}

TEST(Comparison, HypothesesAreTestedInTheirOrder) {
  std::vector<Cell> cells;
  add_cells(cells, "semantic", 2);
  add_cells(cells, "sequential", 2);
  add_cells(cells, "regrouped", 8);
  auto made = compare(cells, plan()).value();
  EXPECT_EQ(made["hypotheses"][0]["outcome"], "fails");
  EXPECT_EQ(made["hypotheses"][1]["outcome"], "not tested") << "though its difference is large";
  cells.clear();
  add_cells(cells, "semantic", 2);
  add_cells(cells, "sequential", 8);
  add_cells(cells, "regrouped", 6);
  made = compare(cells, plan()).value();
  EXPECT_EQ(made["hypotheses"][0]["outcome"], "holds");
  EXPECT_EQ(made["hypotheses"][1]["outcome"], "holds");
  EXPECT_EQ(made["no_worse"][0]["outcome"], "holds");
  EXPECT_EQ(made["no_worse"][1]["outcome"], "fails") << "regrouped has more intrusions";
  cells.clear();
  add_cells(cells, "semantic", 8);
  add_cells(cells, "sequential", 2);
  made = compare(cells, plan()).value();
  EXPECT_EQ(made["hypotheses"][0]["outcome"], "fails") << "the difference has the wrong sign";
  EXPECT_EQ(made["hypotheses"][1]["outcome"], "not measured");
}

TEST(Comparison, OneConversationHasNoStatistics) {
  std::vector<Cell> cells;
  add_cells(cells, "semantic", 1);
  add_cells(cells, "sequential", 4);
  std::erase_if(cells, [](const Cell& cell) { return cell.key.conversation != "c0"; });
  const auto made = compare(cells, plan()).value();
  EXPECT_TRUE(made["comparisons"][0]["statistics"].is_null());
  EXPECT_EQ(made["hypotheses"][0]["outcome"], "not measured");
}

TEST(AnalysisPlan, CommittedOneIsReadAndBrokenOnesAreNamed) {
  const auto path = testing::source_folder() + "/datasets/bulkhead-bench/analysis.json";
  const auto committed = read_analysis_plan(path);
  ASSERT_TRUE(committed.ok()) << committed.error().to_string();
  EXPECT_EQ(committed->hypotheses.size(), 2U);
  EXPECT_EQ(committed->no_worse.at(0).margin, 0.03);
  const testing::TemporaryFolder folder;
  const auto broken = [&](const std::string& pointer, const Json& value) {
    auto json = testing::json_of(read_text_file(path).value());
    json[Json::json_pointer(pointer)] = value;
    std::ofstream(folder / "plan.json") << json.dump();
    const auto read = read_analysis_plan((folder / "plan.json").string());
    return read.ok() ? std::string("taken") : read.error().to_string();
  };
  EXPECT_EQ(broken("/seed", 2), "taken");
  EXPECT_NE(broken("/alpha", 0.7).find("alpha"), std::string::npos);
  EXPECT_NE(broken("/hypotheses/0/endpoint", "style").find("no endpoint \"style\""), std::string::npos);
  EXPECT_NE(broken("/no_worse/0/than", "other").find("no condition \"other\""), std::string::npos);
  EXPECT_NE(broken("/model", 1).find("model"), std::string::npos);
  EXPECT_NE(broken("/dataset_sha256", nullptr).find("dataset_sha256"), std::string::npos);
  EXPECT_NE(broken("/extra", 1).find("extra"), std::string::npos);
}

// What was fixed is the set that is committed.
TEST(AnalysisPlan, IsOfTheCommittedDataSet) {
  const auto folder = testing::source_folder() + "/datasets/bulkhead-bench";
  const auto plan = testing::json_of(read_text_file(folder + "/analysis.json").value());
  const auto set = dataset::load_dataset(folder + "/conversations.jsonl");
  EXPECT_EQ(plan["dataset_sha256"], set->sha256);
}

}  // namespace
}  // namespace bulkhead::eval
