// SPDX-License-Identifier: MIT
#include "report/html.h"

#include "fixture.h"
#include "json_of.h"
#include "paths.h"

#include <gtest/gtest.h>

namespace bulkhead::report {
namespace {

// What stands in the data element.
std::string data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"results\">";
  const auto begin = page.find(open) + open.size();
  return page.substr(begin, page.find("</script>", begin) - begin);
}

TEST(Html, IsOneFileThatAsksForNothing) {
  const std::string page = page_of(fixture());
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  EXPECT_EQ(occurrences(page, "<script"), 7U) << "data, D3, Plot and four of ours";
  EXPECT_EQ(occurrences(page, "</script"), 7U);
  EXPECT_EQ(occurrences(page, "<link"), 0U);
  EXPECT_EQ(occurrences(page, " src="), occurrences(data_of(page), " src=")) << "those of the fixture, which are text";
  EXPECT_EQ(occurrences(page, "{{"), 0U) << "every place of the template is filled";
  EXPECT_TRUE(contains(page, "Copyright 2010-2023 Mike Bostock\n")) << "D3's licence travels with it";
  EXPECT_TRUE(contains(page, "Observable, Inc.\n"));
}

TEST(Html, PolicyNamesEachScriptByHash) {
  const std::string page = page_of(fixture());
  const auto begin = page.find("content=\"default-src 'none'");
  ASSERT_NE(begin, std::string::npos);
  const std::string policy = page.substr(begin, page.find('>', begin) - begin);
  EXPECT_TRUE(contains(policy, "; script-src 'sha256-"));
  EXPECT_EQ(occurrences(policy, " 'sha256-"), 6U) << "whether they are right, the browser says";
  EXPECT_FALSE(contains(policy, "unsafe-eval"));
  EXPECT_EQ(occurrences(policy, "unsafe-inline"), 1U) << "for styles only";
}

TEST(Html, DataCannotEndItsElement) {
  const Json results = fixture();
  const std::string data = data_of(page_of(results));
  EXPECT_EQ(data.find('<'), std::string::npos);
  EXPECT_TRUE(contains(data, "\\u003c/script>\\u003cimg src=x onerror="));
  const Json page_data = testing::json_of(data);
  EXPECT_EQ(page_data["runs"].size(), results["runs"].size());
  const auto& output = page_data["runs"][0]["conditions"][2]["outputs"][1];
  std::string whole;
  std::uint64_t foreign = 0;
  for (const auto& segment : output["segments"]) {
    whole += segment[0].get<std::string>();
    if (segment.size() == 3 && segment[1] == "foreign") ++foreign;
  }
  EXPECT_EQ(whole, results["runs"][0]["conditions"][2]["outputs"][1]["text"].get<std::string>());
  EXPECT_EQ(foreign, output["foreign_terms"].get<std::uint64_t>());
}

TEST(Html, TitleIsEscapedAndPlacesInTextAreNotFilled) {
  Json results = fixture();
  results["model"]["name"] = "\"<b>&{{script}}";
  const std::string page = page_of(results);
  EXPECT_TRUE(contains(page, "<title>Bulkhead report: &quot;&lt;b&gt;&amp;{{script}}</title>"));
}

TEST(Html, RefusesWhatIsNoResults) {
  const auto page = to_html(Json::object());
  ASSERT_FALSE(page.ok());
  EXPECT_EQ(page.error().code, ErrorCode::kCorrupt);
}

TEST(Html, ScriptsMakeNoMarkupOfText) {
  for (const auto* name :
       {"charts.js", "elements.js", "overview.js", "report.js", "evaluation_charts.js", "evaluation.js"}) {
    const auto script = read_text_file(std::string(testing::source_folder() + "/src/report/assets/") + name);
    ASSERT_TRUE(script.ok());
    for (const auto* way : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("}) {
      EXPECT_FALSE(contains(*script, way)) << name << " " << way;
    }
  }
}

}  // namespace
}  // namespace bulkhead::report
