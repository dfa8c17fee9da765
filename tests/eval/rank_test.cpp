// SPDX-License-Identifier: MIT
#include "eval/rank_test.h"

#include "measure/friedman.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bulkhead::eval {
namespace {

Cell reference(int conversation, const char* condition, const char* item, double nll) {
  Cell cell{.key = {"c" + std::to_string(conversation), condition, item}, .kind = std::string(kReferenceKind)};
  cell.candidates = {{"text", "", Standing::kRight, -nll, 1}};
  return cell;
}

std::vector<const Cell*> all(const std::vector<Cell>& cells) {
  std::vector<const Cell*> list;
  for (const auto& cell : cells) list.push_back(&cell);
  return list;
}

TEST(RankTest, ComparesMeansOfConversationsOverWhatAllConditionsHave) {
  std::vector<Cell> cells;
  std::vector<std::vector<double>> blocks;
  for (int i = 0; i < 5; ++i) {
    const std::vector<double> row = {3.0 + i % 2, 1.0, 2.0 + i % 3};
    blocks.push_back(row);
    const std::vector<const char*> conditions = {"sequential", "semantic", "regrouped"};
    for (std::size_t c = 0; c < 3; ++c) {
      cells.push_back(reference(i, conditions[c], "reference:c1", row[c] - 0.5));
      cells.push_back(reference(i, conditions[c], "reference:c2", row[c] + 0.5));
      if (c > 0) cells.push_back(reference(i, conditions[c], "reference:c3", 1000.0 * static_cast<double>(2 - c)));
    }
  }
  cells.push_back(reference(9, "semantic", "reference:c1", 1));
  const auto tests = rank_tests(all(cells)).value();
  ASSERT_EQ(tests.size(), 1U) << "no other endpoint has cells";
  const auto& one = tests[0];
  const auto expected = measure::friedman_test(blocks).value();
  EXPECT_EQ(one["endpoint"], "nll");
  EXPECT_EQ(one["conditions"], Json({"sequential", "semantic", "regrouped"}));
  EXPECT_EQ(one["conversations"], 5);
  EXPECT_EQ(one["items"], 10);
  EXPECT_EQ(one["mean_ranks"], Json(expected.mean_ranks));
  EXPECT_EQ(one["statistic"], expected.statistic);
  EXPECT_EQ(one["degrees_of_freedom"], 2);
  EXPECT_EQ(one["p"], expected.p);
  EXPECT_LT(expected.p, 0.1);
}

TEST(RankTest, NeedsThreeConditionsAndTwoConversations) {
  std::vector<Cell> cells;
  for (const auto* condition : {"sequential", "semantic", "regrouped"}) {
    cells.push_back(reference(1, condition, "reference:c1", 1));
  }
  EXPECT_TRUE(rank_tests(all(cells)).value().empty());
  cells.push_back(reference(2, "sequential", "reference:c1", 1));
  cells.push_back(reference(2, "semantic", "reference:c1", 2));
  EXPECT_TRUE(rank_tests(all(cells)).value().empty()) << "the second conversation lacks a condition";
  cells.push_back(reference(2, "regrouped", "reference:c1", 1));
  EXPECT_EQ(rank_tests(all(cells)).value().size(), 1U);
}

}  // namespace
}  // namespace bulkhead::eval
