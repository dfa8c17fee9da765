// SPDX-License-Identifier: MIT
#include "compare/comparison.h"

#include "compare/fixture.h"
#include "compare/page.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>

namespace bulkhead::compare {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Json made() {
  const auto comparison = compare(entries(), {});
  EXPECT_TRUE(comparison.ok()) << (comparison.ok() ? "" : comparison.error().to_string());
  return comparison.ok() ? *comparison : Json();
}

// The recommendation whose claim begins so.
Json about(const Json& comparison, const std::string& beginning) {
  for (const auto& entry : comparison["recommendations"]) {
    if (entry["claim"].get<std::string>().starts_with(beginning)) return entry;
  }
  ADD_FAILURE() << "nothing about " << beginning;
  return {};
}

TEST(Comparison, HoldsTheFiguresOfEveryEngine) {
  const auto comparison = made();
  ASSERT_EQ(comparison["engines"].size(), 2U);
  const auto one = results("llama", 1.0);
  const auto& semantic = comparison["conditions"][1];
  EXPECT_EQ(semantic["name"], "semantic");
  EXPECT_EQ(semantic["engines"][0]["achieved"], 2);
  EXPECT_EQ(semantic["engines"][0]["partitions"][0]["context_tokens"], Json::array({419, 419}));
  EXPECT_EQ(comparison["conditions"][0]["engines"][0]["achieved"], 0);
  const auto decode = one["runs"][0]["conditions"][1]["decode_ms"].get<double>();
  const auto& summary = semantic["engines"][0]["decode_ms"];
  EXPECT_LE(summary["min"].get<double>(), decode);
  EXPECT_GE(summary["max"].get<double>(), decode);
  EXPECT_EQ(comparison["engines"][0]["peak_rss_bytes"], 812646400U);
  EXPECT_EQ(comparison["engines"][1]["peak_rss_bytes"], 812646400U + 2147483648U);
}

TEST(Comparison, SaysWhereEachTextParts) {
  const auto comparison = made();
  EXPECT_EQ(comparison["outputs"][0]["engines"][1]["parts_at"], 5);
  for (std::size_t i = 1; i < comparison["outputs"].size(); ++i) {
    EXPECT_TRUE(comparison["outputs"][i]["engines"][1]["parts_at"].is_null()) << i;
  }
  auto shorter = entries();
  output_of(shorter[1], 0, 0, 1)["token_ids"] = Json::array({11, 12, 13});
  EXPECT_EQ((*compare(shorter, {}))["outputs"][1]["engines"][1]["parts_at"], 3);
}

TEST(Comparison, RefusesRunsOfOtherThings) {
  for (const auto& change : std::vector<std::pair<std::string, std::function<void(Json&)>>>{
           {"sampling", [](Json& results) { results["settings"]["sampling"]["temperature"] = 0.2; }},
           {"the number of runs", [](Json& results) { results["runs"].erase(1); }},
           {"run 2", [](Json& results) { results["runs"][1]["seed"] = 7; }},
           {"run 1", [](Json& results) { results["runs"][0]["scenario"]["sha256"] = "0"; }},
           {"format_sha256", [](Json& results) { results["settings"]["format_sha256"] = "0"; }}}) {
    auto all = entries();
    change.second(all[1].results);
    const auto comparison = compare(all, {});
    ASSERT_FALSE(comparison.ok()) << change.first;
    EXPECT_EQ(comparison.error().code, ErrorCode::kBadInput);
    EXPECT_THAT(comparison.error().message, HasSubstr(change.first));
  }
}

// Whole runs of the first engine take 1 s to 1.1 s, those of the second begin at `second`.
std::vector<Entry> timed(std::size_t runs, double second) {
  auto all = entries();
  for (auto& entry : all) {
    auto& list = entry.results["runs"];
    const auto first = list[0];
    list = Json::array();
    for (std::size_t i = 0; i < runs; ++i) {
      list.push_back(first);
      list[i]["seed"] = 42 + i;
      list[i]["wall_ms"] = (&entry == all.data() ? 1000.0 : second) + (i == 0 ? 0.0 : 100.0);
    }
  }
  return all;
}

Json about_speed(std::size_t runs, double second) {
  return about(*compare(timed(runs, second), {}), "Time of a whole run");
}

TEST(Recommendations, AreHedgedByTheSpreadAndTheNumberOfRuns) {
  const auto apart = about_speed(4, 2000);
  EXPECT_EQ(apart["strength"], "apart");
  EXPECT_THAT(apart["claim"].get<std::string>(), HasSubstr("llama-tiny is the fastest"));
  EXPECT_THAT(apart["because"].get<std::string>(), HasSubstr("llama-tiny 1.10 s (1.00 s to 1.10 s, 4 runs)"));
  const auto few = about_speed(2, 2000);
  EXPECT_EQ(few["strength"], "few runs");
  // Of the 6 orders of 2 and 2 runs, 2 have all of one before all of the other.
  EXPECT_THAT(few["claim"].get<std::string>(), HasSubstr("33 %"));
  const auto overlap = about_speed(4, 1050);
  EXPECT_EQ(overlap["strength"], "overlap");
  EXPECT_THAT(overlap["claim"].get<std::string>(), HasSubstr("none can be preferred"));
  const auto once = about_speed(1, 2000);
  EXPECT_EQ(once["strength"], "one run");
  EXPECT_THAT(once["claim"].get<std::string>(), HasSubstr("--repeat"));
}

TEST(Recommendations, SayWhenTheTokensWereNotTheSame) {
  auto all = entries();
  EXPECT_THAT(about(*compare(all, {}), "Every engine was given the same")["because"].get<std::string>(),
              HasSubstr("12 of 12"));
  output_of(all[1], 0, 0, 0)["input_sha256"] = std::string(64, 'f');
  EXPECT_THAT(about(*compare(all, {}), "The engines were not given the same")["because"].get<std::string>(),
              HasSubstr("1 were given other tokens"));
}

TEST(Page, SaysTheSameInMarkdownAsTheCommittedOne) {
  const auto markdown = to_markdown(page_of(made()));
  const std::string name = "comparison_fixture.md";
  const auto drawn = std::filesystem::path(testing::build_folder()) / name;
  testing::write_file(drawn, markdown);
  EXPECT_TRUE(markdown == testing::read_file(std::filesystem::path(testing::source_folder()) / "tests/data" / name))
      << drawn << " is another text than tests/data/" << name << "; if it is the better one, copy it there";
}

TEST(Page, HasTheSectionsOfTheSeedReportAndItsRowsAreMarked) {
  const auto markdown = to_markdown(page_of(made()));
  for (const auto* part :
       {"## 1. Output quality", "### Cache sizes across conditions", "Isolation achieved?", "### Token distribution",
        "## 3. Generation times", "## 4. Implementation differences", "## 5. Memory, measured", "## 6. Seeds",
        "| MLX, Gemma 2 9B (measured elsewhere) | 1,087 | 419 + 452 + 827 |", "29.3 s", "at token 5", "same 96 tokens",
        "| BOS | 1 in each context | 1 in each context |", "**donor**"}) {
    EXPECT_THAT(markdown, HasSubstr(part));
  }
}

TEST(Page, HostileTextsStayText) {
  auto all = entries();
  output_of(all[1], 0, 0, 0)["text"] = "</pre><script>alert(1)</script>{{title}} | a | b\n# no heading";
  all[1].results["model"]["name"] = "<img src=x onerror=alert(1)>";
  const auto page = page_of(*compare(all, {}));
  const auto html = to_html(page);
  ASSERT_TRUE(html.ok()) << html.error().to_string();
  EXPECT_THAT(*html, Not(HasSubstr("<script")));
  EXPECT_THAT(*html, Not(HasSubstr("<img")));
  EXPECT_THAT(*html, HasSubstr("{{title}} | a | b"));
  EXPECT_THAT(*html, HasSubstr("default-src 'none'"));
  EXPECT_THAT(*html, HasSubstr("&lt;script&gt;"));
  const auto markdown = to_markdown(page);
  EXPECT_THAT(markdown, Not(HasSubstr("<script")));
  EXPECT_THAT(markdown, HasSubstr("> \\# no heading"));
}

}  // namespace
}  // namespace bulkhead::compare
