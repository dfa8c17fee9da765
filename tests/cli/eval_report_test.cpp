// SPDX-License-Identifier: MIT
// The report of an evaluation: made by the real program from an evaluation on the fake engine, drawn by a real browser.
#include "base/json.h"
#include "browser.h"
#include "cli/real_program.h"
#include "json_of.h"
#include "paths.h"
#include "report/evaluation_document.h"
#include "report/html.h"
#include "sealed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace bulkhead {
namespace {

using testing::body_of;
using testing::kBenchData;
using testing::read_file;
using testing::run_program;
using testing::TemporaryFolder;

// Two conversations of each domain, so that each cut has intervals.
std::string evaluate(const TemporaryFolder& folder) {
  auto plan = testing::json_of(read_file(kBenchData + "/analysis.json"));
  plan["model"] = "fake";
  plan["resamples"] = 200;
  plan["draws"] = 1000;
  std::ofstream(folder / "analysis.json") << plan.dump();
  const auto run = (folder / "run").string();
  const auto ended = run_program(
      folder.path(), "eval " + kBenchData + "/conversations.jsonl --engine fake -q --conversations 16 --conditions " +
                         "semantic,sequential,regrouped,filler --analysis " + (folder / "analysis.json").string() +
                         " --out " + run);
  EXPECT_EQ(ended.code, 0) << ended.err;
  return run;
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

// From `begin` up to `end`, both left out; empty when there is none.
std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const auto at = text.find(begin);
  if (at == std::string::npos) return {};
  const auto from = at + begin.size();
  return text.substr(from, text.find(end, from) - from);
}

// The marks of the chart with this name: dots, and lines of its rules.
struct Marks {
  std::size_t dots = 0;
  std::size_t rules = 0;
};
Marks marks_of(const std::string& body, const std::string& chart) {
  const auto svg = between(body, "aria-label=\"" + chart + "\"", "</svg>");
  Marks marks{occurrences(svg, "<circle"), 0};
  const std::string group = "data-mark=\"rule\"";
  for (auto at = svg.find(group); at != std::string::npos; at = svg.find(group, at + 1)) {
    marks.rules += occurrences(svg.substr(at, svg.find("</g>", at) - at), "<line");
  }
  return marks;
}

// A number of a table: the document's own, and as it is shown.
struct Shown {
  double value = 0;
  std::string words;
};
std::vector<Shown> numbers_of(const std::string& body, const std::string& caption) {
  const auto table = between(body, "role=\"region\" aria-label=\"" + caption + "\"", "</table>");
  std::vector<Shown> numbers;
  for (auto at = table.find("<data "); at != std::string::npos; at = table.find("<data ", at + 1)) {
    const auto element = table.substr(at, table.find("</data>", at) - at);
    numbers.push_back({std::stod(between(element, "value=\"", "\"")), element.substr(element.find('>') + 1)});
  }
  return numbers;
}

// A typographic minus is three bytes of UTF-8.
double number_in(std::string words) {
  const auto minus = words.find("\xE2\x88\x92");
  if (minus != std::string::npos) words.replace(minus, 3, "-");
  return std::stod(words);
}

class EvaluationPage : public testing::Browser {
 protected:
  [[nodiscard]] std::string page_of(const Json& document) const {
    auto page = report::evaluation_html(document);
    EXPECT_TRUE(page.ok()) << page.error().to_string();
    return page.ok() ? *page : std::string();
  }
};

void expect_whole(const std::string& body) {
  EXPECT_NE(body.find("data-ready"), std::string::npos) << "the script did not reach its end";
  EXPECT_EQ(body.find("data-fault"), std::string::npos) << body.substr(0, 600);
  EXPECT_EQ(occurrences(body, "NaN"), 0U);
  EXPECT_EQ(occurrences(body, "undefined"), 0U);
}

void expect_difference_charts(const std::string& body, const Json& document) {
  for (const auto& [endpoint, title] :
       std::vector<std::pair<std::string, std::string>>{{"intrusions", "Intrusions"},
                                                        {"accuracy", "Accuracy"},
                                                        {"absent", "Absent facts"},
                                                        {"messages", "Questions that need messages"},
                                                        {"nll", "NLL of references"}}) {
    std::size_t compared = 0;
    for (const auto& one : document["analysis"]["comparisons"]) compared += one["endpoint"] == endpoint ? 1U : 0U;
    EXPECT_EQ(compared, 3U);
    const auto marks = marks_of(body, "Difference to semantic: " + title);
    EXPECT_EQ(marks.dots, compared) << title;
    EXPECT_EQ(marks.rules, compared + 1) << title << ": an interval each, and the line at zero";
  }
}

// How many groups there are. Each has a panel, with a dot for each condition and endpoint, and a line where there is an
// interval.
std::size_t expect_facet_charts(const std::string& body, const Json& document) {
  std::map<std::string, Marks> wanted;
  for (const auto& one : document["analysis"]["facets"]) {
    if (one["facet"] == "clusters" || one["facet"] == "turns") continue;
    auto& marks = wanted[one["facet"].get<std::string>() + " " + one["group"].get<std::string>()];
    ++marks.dots;
    marks.rules += one["interval"].is_null() ? 0U : 1U;
  }
  EXPECT_GE(wanted.size(), 8U + 2U + 6U) << "domains, difficulties, kinds of question";
  for (const auto& [group, marks] : wanted) {
    const auto drawn = marks_of(body, "Difference to semantic: " + group);
    EXPECT_EQ(drawn.dots, marks.dots) << group;
    EXPECT_EQ(drawn.rules, marks.rules + 1) << group;
  }
  return wanted.size();
}

void expect_other_charts(const std::string& body, const Json& document) {
  std::size_t by_clusters = 0;
  for (const auto& condition : document["conditions"]) {
    for (const auto& one : condition["facets"]) by_clusters += one["facet"] == "clusters" ? 1U : 0U;
  }
  EXPECT_GT(by_clusters, 8U);
  for (const auto* title :
       {"Intrusions", "Accuracy", "NLL of references", "Context tokens prefilled", "Time of an item"}) {
    EXPECT_EQ(marks_of(body, std::string(title) + " by clusters").dots, by_clusters) << title;
  }
  EXPECT_EQ(marks_of(body, "Intrusions against context tokens").dots, 4U);
  const auto bars = between(body, "aria-label=\"NLL of references by condition\"", "</svg>");
  EXPECT_EQ(occurrences(bars, "<rect"), 4U);
}

// Both the value behind and the digits shown.
void expect_numbers(const std::vector<Shown>& shown, const std::vector<std::pair<double, bool>>& wanted) {
  ASSERT_EQ(shown.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto& [value, share] = wanted[i];
    EXPECT_EQ(shown[i].value, value) << i;
    EXPECT_NEAR(number_in(shown[i].words), share ? 100 * value : value, share ? 0.0501 : 0.000501) << shown[i].words;
  }
}

void expect_tables(const std::string& body, const Json& document) {
  std::vector<std::pair<double, bool>> means;
  for (const auto& condition : document["conditions"]) {
    for (const auto& [endpoint, one] : condition["endpoints"].items())
      means.emplace_back(one["mean"], endpoint != "nll");
  }
  expect_numbers(numbers_of(body, "Endpoints by condition"), means);
  std::vector<std::pair<double, bool>> differences;
  for (const auto& one : document["analysis"]["comparisons"]) {
    const bool share = one["endpoint"] != "nll";
    const auto& statistics = one["statistics"];
    for (const auto& value :
         {one["mean_against"], one["difference"], statistics["interval"][0], statistics["interval"][1]}) {
      differences.emplace_back(value.get<double>(), share);
    }
    for (const auto* p : {"p", "p_holm"}) differences.emplace_back(statistics[p].get<double>(), false);
  }
  expect_numbers(numbers_of(body, "Differences to semantic"), differences);
  EXPECT_EQ(document["analysis"]["friedman"].size(), 5U);
  std::vector<double> ranks;
  for (const auto& one : document["analysis"]["friedman"]) {
    ranks.push_back(one["statistic"].get<double>());
    ranks.push_back(one["p"].get<double>());
  }
  std::vector<double> shown;
  for (const auto& one : numbers_of(body, "Friedman's test")) shown.push_back(one.value);
  EXPECT_EQ(shown, ranks);
}

TEST_F(EvaluationPage, ShowsTheEvaluationOfTheProgram) {
  const TemporaryFolder folder;
  const auto run = evaluate(folder);
  const auto document = testing::json_of(read_file(run + "/summary.json"));
  const auto body = body_of(drawn(read_file(run + "/report.html")));
  expect_whole(body);
  expect_difference_charts(body, document);
  const auto groups = expect_facet_charts(body, document);
  expect_other_charts(body, document);
  expect_tables(body, document);
  EXPECT_EQ(occurrences(body, "<svg"), 5U + groups + 1U + 5U + 1U);
  EXPECT_NE(body.find("Intrusions: lower under semantic than under sequential"), std::string::npos);
  EXPECT_NE(body.find("16 of 120 conversations"), std::string::npos) << "a part of the data set, and it says so";
  const auto narrow = body_of(drawn(read_file(run + "/report.html"), "--window-size=360,800"));
  expect_whole(narrow);
  EXPECT_EQ(occurrences(narrow, "<svg"), occurrences(body, "<svg"));
}

TEST_F(EvaluationPage, ShowsOutputsWhereThereAreSome) {
  const TemporaryFolder folder;
  const auto run = (folder / "run").string();
  const auto ended = run_program(folder.path(), "eval " + kBenchData + "/conversations.jsonl --engine fake -q " +
                                                    "--conversations 2 --conditions semantic,regrouped " +
                                                    "--kinds own,output --outputs 8 --out " + run);
  ASSERT_EQ(ended.code, 0) << ended.err;
  const auto document = testing::json_of(read_file(run + "/summary.json"));
  EXPECT_EQ(document["configuration"]["output_tokens"], 8);
  EXPECT_GT(document["conditions"][0]["outputs"]["texts"], 0);
  const auto body = body_of(drawn(read_file(run + "/report.html")));
  expect_whole(body);
  const auto markdown = read_file(run + "/report.md");
  for (const auto* title : {"BLEU of outputs", "chrF of outputs", "ROUGE-L of outputs", "Length of outputs",
                            "Repetition in outputs", "Foreign terms", "Foreign facts", "Canaries"}) {
    EXPECT_EQ(marks_of(body, "Difference to semantic: " + std::string(title)).dots, 1U) << title;
    EXPECT_NE(markdown.find("| " + std::string(title) + " | regrouped |"), std::string::npos) << title;
  }
  EXPECT_NE(read_file(run + "/cells.csv").find(",output:c1,"), std::string::npos);
}

TEST_F(EvaluationPage, ShowsWhatIsIncompleteHostileOrEmpty) {
  const TemporaryFolder folder;
  auto document = testing::json_of(read_file(evaluate(folder) + "/summary.json"));
  document["complete"] = false;
  document["made"]["model"]["name"] = "</script><img src=x>";
  document["analysis"]["plan"]["sha256"] = "";
  for (auto& one : document["analysis"]["comparisons"]) one["statistics"] = nullptr;
  for (auto& one : document["analysis"]["facets"]) one["interval"] = nullptr;
  for (auto& condition : document["conditions"]) {
    condition["reference"]["nll_per_token"] = nullptr;
    condition["endpoints"]["nll"]["mean"] = nullptr;
  }
  auto body = body_of(drawn(page_of(document)));
  expect_whole(body);
  EXPECT_EQ(occurrences(body, "<img"), 0U);
  EXPECT_NE(body.find("stopped before its end"), std::string::npos);
  EXPECT_NE(body.find("No analysis was fixed beforehand"), std::string::npos);
  EXPECT_EQ(marks_of(body, "Difference to semantic: Intrusions").rules, 1U);
  EXPECT_EQ(marks_of(body, "Difference to semantic: Intrusions").dots, 3U);
  for (const auto* list : {"comparisons", "hypotheses", "no_worse", "facets"})
    document["analysis"][list] = Json::array();
  document["conditions"] = Json::array();
  body = body_of(drawn(page_of(document)));
  expect_whole(body);
  EXPECT_EQ(occurrences(body, "<svg"), 0U);
}

TEST(EvaluationReport, IsDrawnAnewInEveryForm) {
  const TemporaryFolder folder;
  const auto run = evaluate(folder);
  const auto html = read_file(run + "/report.html");
  const auto markdown = read_file(run + "/report.md");
  const auto cells = read_file(run + "/cells.csv");
  const auto document = testing::json_of(read_file(run + "/summary.json"));
  EXPECT_EQ(occurrences(cells, "\n"), document["cells"].get<std::size_t>() + 1);
  std::filesystem::remove(run + "/report.html");
  std::filesystem::remove(run + "/report.md");
  std::filesystem::remove(run + "/cells.csv");
  const auto table = run_program(folder.path(), "report " + run);
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_NE(table.out.find("regrouped"), std::string::npos);
  EXPECT_EQ(read_file(run + "/report.html"), html);
  EXPECT_EQ(read_file(run + "/report.md"), markdown);
  EXPECT_EQ(read_file(run + "/cells.csv"), cells);
  EXPECT_EQ(run_program(folder.path(), "report -o md " + run).out, markdown);
  EXPECT_EQ(testing::json_of(run_program(folder.path(), "report --json " + run).out), document);
  const auto csv = run_program(folder.path(), "report -o csv " + run).out;
  EXPECT_EQ(occurrences(csv, "\n"),
            1 + document["analysis"]["comparisons"].size() + document["analysis"]["facets"].size());
  for (const auto& verdict : {"Intrusions: lower under semantic than under regrouped", "Accuracy: semantic no worse"}) {
    EXPECT_NE(markdown.find(verdict), std::string::npos) << verdict;
  }
}

TEST(EvaluationReport, RefusesADamagedSummary) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& summary) {
    std::ofstream(folder / "summary.json") << summary;
    testing::seal_folder(folder.path(), "evaluation", {"summary.json"});
    const auto ended = run_program(folder.path(), "report " + folder.path().string());
    EXPECT_EQ(ended.code, 4) << ended.err;
    return ended.err;
  };
  EXPECT_NE(refusal("{\"schema\": \"bulkhead-eval-1\", ").find("summary.json"), std::string::npos);
  EXPECT_NE(refusal("{\"schema\": \"bulkhead-eval-9\"}").find("schema \"bulkhead-eval-9\" is unknown"),
            std::string::npos);
  EXPECT_NE(refusal("{\"schema\": \"bulkhead-eval-1\"}").find("summary.json: made"), std::string::npos);
}

}  // namespace
}  // namespace bulkhead
