// SPDX-License-Identifier: MIT
#include "fixture.h"
#include "report/csv.h"
#include "report/markdown.h"
#include "report/table.h"
#include "report/view.h"
#include "sealed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace bulkhead::report {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::size_t characters(const std::string& line) {
  return static_cast<std::size_t>(std::count_if(
      line.begin(), line.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }));
}

TEST(Table, HasARowPerConditionWithItsNumbers) {
  const std::string table = to_table(fixture());
  for (const auto* part : {"Sequential", "Prompted", "Turn-based", "Semantic", "1: 1,059", "1: 1,086", "1: 1,156",
                           "3: 419 + 436", "4.5/5.5", "0.5/0", "seeds 42, 43 and greedy", "15 turns, 3 clusters"}) {
    EXPECT_TRUE(contains(table, part)) << part << "\n" << table;
  }
  EXPECT_EQ(occurrences(table, " yes "), 1U) << table;
  EXPECT_EQ(occurrences(table, " no "), 3U) << table;
}

TEST(Table, StaysInAHundredColumns) {
  Json results = fixture();
  auto& condition = results["runs"][0]["conditions"][0];
  condition["title"] = std::string(70, 'w') + " \u00e9\u00e9\u00e9 \U0001F6A2";
  results["runs"][0]["scenario"]["id"] = std::string(300, 'i');
  for (int i = 0; i < 40; ++i) condition["partitions"].push_back(condition["partitions"][0]);
  for (const auto& line : lines_of(to_table(results))) EXPECT_LE(characters(line), 100U) << line;
}

TEST(Table, ObeysNoEscapeSequence) {
  Json results = fixture();
  for (auto& run : results["runs"]) {
    run["scenario"]["id"] = "a\x1b[2Jb\r\nc";
    run["conditions"][0]["title"] = "d\x1b]0;e\x07";
  }
  const std::string table = to_table(results);
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
  EXPECT_EQ(table.find('\x07'), std::string::npos);
  EXPECT_EQ(table.find('\r'), std::string::npos);
}

// 0 would be a false all-clear.
TEST(TextReports, TermsThatCannotBeCountedAreNotZero) {
  Json results = fixture();
  for (auto& run : results["runs"]) {
    for (auto& output : run["conditions"][3]["outputs"]) {
      output["own_terms"] = nullptr;
      output["foreign_terms"] = nullptr;
      output["foreign"] = Json::array();
      output["terms_obstacle"] = "the text is in another script than the terms";
    }
  }
  for (auto& entry : results["term_summary"]) {
    if (entry["condition"] == results["runs"][0]["conditions"][3]["name"])
      entry["foreign_mean"] = entry["own_mean"] = nullptr;
  }
  const Folder folder;
  folder.write("results.json", json_text(results));
  testing::seal_folder(folder.path(), "run", {"results.json"});
  ASSERT_TRUE(read_results(folder.path()).ok());
  EXPECT_TRUE(contains(to_table(results), "countable/not")) << to_table(results);
  const auto report = to_markdown(results);
  EXPECT_TRUE(contains(report, "own terms not countable, foreign terms not countable"));
  EXPECT_TRUE(contains(report, "Terms are not countable: the text is in another script than the terms."));
  EXPECT_TRUE(contains(report, "| not countable | not countable |"));
  EXPECT_EQ(occurrences(to_csv(results), ",not countable,not countable,"), 9U) << "3 runs of 3 outputs";
}

TEST(Csv, OneRecordPerOutput) {
  Json results = fixture();
  results["runs"][0]["conditions"][0]["outputs"][0]["cluster"] = "a \"quoted\", cluster\nwith a line break";
  const auto lines = lines_of(to_csv(results));
  ASSERT_EQ(lines.size(), 1U + (3 * 4 * 3));
  EXPECT_TRUE(contains(lines[1], ",\"a \"\"quoted\"\", cluster with a line break\",")) << lines[1];
  const auto commas = std::count(lines[0].begin(), lines[0].end(), ',');
  EXPECT_EQ(std::count(lines[2].begin(), lines[2].end(), ','), commas);
  EXPECT_TRUE(contains(lines[2], ",sequential/all/B,1059,"))
      << "the context of a fork is that of its source: " << lines[2];
}

TEST(Csv, CountsAddUp) {
  const Json results = fixture();
  std::uint64_t wanted = 0;
  for (const auto& run : results["runs"]) {
    for (const auto& condition : run["conditions"]) {
      for (const auto& output : condition["outputs"]) wanted += output["foreign_terms"].get<std::uint64_t>();
    }
  }
  const auto lines = lines_of(to_csv(results));
  const auto titles = lines[0];
  const auto column =
      std::count(titles.begin(), titles.begin() + static_cast<std::ptrdiff_t>(titles.find(",foreign_terms,")), ',') + 1;
  std::uint64_t sum = 0;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    ASSERT_EQ(lines[i].find('"'), std::string::npos) << "the fixture needs no quoting";
    std::istringstream cells(lines[i]);
    std::string cell;
    for (std::ptrdiff_t c = 0; c <= column; ++c) std::getline(cells, cell, ',');
    sum += std::stoul(cell);
  }
  EXPECT_GT(sum, 0U);
  EXPECT_EQ(sum, wanted);
}

TEST(Markdown, VerdictsComeFirstAndEveryNumberIsThere) {
  const Json results = fixture();
  const std::string report = to_markdown(results);
  EXPECT_LT(report.find("Isolation achieved?"), report.find("## Facts"));
  EXPECT_LT(report.find("## Facts"), report.find("## Run: "));
  for (const auto& run : results["runs"]) {
    for (const auto& condition : run["conditions"]) {
      for (const auto& partition : condition["partitions"]) {
        for (const auto* key : {"context_tokens", "prefilled_tokens", "reused_tokens", "generated_tokens"}) {
          EXPECT_TRUE(contains(report, "| " + grouped(partition[key].get<std::uint64_t>()) + " |")) << key;
        }
      }
    }
  }
  for (const auto* part :
       {"**donor**", "**gift-shop**", "-52", "+13", "**-53**", "temperature 0.7", "A (96 tokens), B (88 tokens)"}) {
    EXPECT_TRUE(contains(report, part)) << part;
  }
  EXPECT_FALSE(contains(report, "not explained"));
}

TEST(Markdown, SaysWhatADifferenceLeavesUnexplained) {
  Json results = fixture();
  results["count_differences"][0]["parts"].erase(2);
  EXPECT_TRUE(contains(to_markdown(results), "| not explained | +13 |"));
}

// No text of a scenario or a model may become HTML, a table cell, a heading, a list or a link.
TEST(Markdown, TextStaysText) {
  const std::string report = to_markdown(fixture());
  EXPECT_EQ(report.find('<'), std::string::npos);
  EXPECT_FALSE(contains(report, "[no](link)"));
  EXPECT_TRUE(contains(report, "\\*\\*no bold\\*\\*"));
  EXPECT_TRUE(contains(report, "\\# no heading \\| no cell"));
  for (const auto& line : lines_of(report)) {
    if (line.starts_with("> ")) {
      EXPECT_FALSE(line.starts_with("> - ") || line.starts_with("> # ") || line.starts_with("> 1. ")) << line;
    }
  }
  EXPECT_TRUE(contains(report, "> 1\\. Ask each"));
}

}  // namespace
}  // namespace bulkhead::report
