// SPDX-License-Identifier: MIT
// report.html of a run in a real browser.
#include "browser.h"
#include "fixture.h"
#include "report/html.h"

#include <gtest/gtest.h>

#include <string>

namespace bulkhead::report {
namespace {

using Browser = testing::Browser;
using testing::body_of;

TEST_F(Browser, DrawsEveryChartAndTextWithoutFault) {
  const std::string dom = drawn(page_of(fixture()));
  const std::string body = body_of(dom);
  ASSERT_TRUE(contains(body, "data-ready")) << "the script did not reach its end";
  EXPECT_FALSE(contains(body, "data-fault")) << body.substr(0, 600);
  // Two for foreign terms (outputs A and B), the map, the sizes, the times.
  EXPECT_EQ(occurrences(body, "<svg"), 5U);
  for (const auto* chart :
       {"Foreign terms in output A, by condition", "Foreign terms in output B, by condition",
        "Which partition saw which turn and which messages",
        "Tokens in each partition's context, by where they came from", "Time of each condition, prefill and decode"}) {
    EXPECT_TRUE(contains(body, std::string("aria-label=\"") + chart + "\"")) << chart;
  }
  for (const auto* words : {"1,059", "12.4 MiB", "Isolation achieved?", "seed 42", "not read", "Test Processor 9000"}) {
    EXPECT_TRUE(contains(body, words)) << words;
  }
  EXPECT_EQ(occurrences(body, "<article"), 12U) << "3 outputs of 4 conditions";
  EXPECT_EQ(occurrences(body, "NaN"), 0U);
  EXPECT_EQ(occurrences(body, "undefined"), 0U);
}

TEST_F(Browser, TermsThatCannotBeCountedAreNotZero) {
  Json results = fixture();
  for (auto& run : results["runs"]) {
    for (auto& condition : run["conditions"]) {
      for (auto& output : condition["outputs"]) {
        output["own_terms"] = output["foreign_terms"] = nullptr;
        output["terms_obstacle"] = "the text is in another script than the terms";
      }
    }
  }
  const auto body = body_of(drawn(page_of(results)));
  ASSERT_TRUE(contains(body, "data-ready"));
  EXPECT_FALSE(contains(body, "data-fault"));
  EXPECT_TRUE(contains(body, "not countable"));
  EXPECT_TRUE(contains(body, "the text is in another script than the terms"));
  EXPECT_EQ(occurrences(body, "NaN"), 0U);
  EXPECT_FALSE(contains(body, "<b>0</b> foreign terms"));
}

TEST_F(Browser, MarksEachForeignTerm) {
  const Json results = fixture();
  std::size_t wanted = 1;  // the one that explains the marks
  for (const auto& condition : results["runs"][0]["conditions"]) {
    for (const auto& output : condition["outputs"]) wanted += output["foreign_terms"].get<std::size_t>();
  }
  EXPECT_EQ(occurrences(body_of(drawn(page_of(results))), "<mark"), wanted);
}

TEST_F(Browser, HostileTextStaysText) {
  const std::string dom = drawn(page_of(fixture()));
  const std::string body = body_of(dom);
  EXPECT_TRUE(contains(body, "&lt;/script&gt;&lt;img src=x onerror=")) << "the text is shown";
  EXPECT_TRUE(contains(body, "lighthouse &lt;script&gt;alert(1)&lt;/script&gt;"));
  for (const auto* element : {"<img", "<script", "<i>", "<iframe"})
    EXPECT_EQ(occurrences(body, element), 0U) << element;
  EXPECT_EQ(occurrences(dom, "<script"), 7U);
  EXPECT_TRUE(contains(dom, "<title>Bulkhead report: Tiny &lt;b&gt;Model&lt;/b&gt; 0.5B</title>"))
      << "no script renamed the page";
}

TEST_F(Browser, DrawsOnANarrowScreen) {
  const std::string body = body_of(drawn(page_of(fixture()), "--window-size=360,800"));
  EXPECT_TRUE(contains(body, "data-ready"));
  EXPECT_FALSE(contains(body, "data-fault"));
  EXPECT_EQ(occurrences(body, "<svg"), 5U);
}

// The page's policy stops a script that is not the page's own, and the page says so: a fault is never silent.
TEST_F(Browser, PolicyStopsForeignScripts) {
  std::string page = page_of(fixture());
  page.replace(page.rfind("</body>"), 7, "<script>document.title = 'taken over'</script></body>");
  const std::string dom = drawn(page);
  EXPECT_FALSE(contains(dom, "<title>taken over"));
  EXPECT_TRUE(contains(body_of(dom), "data-fault"));
}

TEST_F(Browser, DrawsResultsThatStoppedEarly) {
  Json results = fixture();
  results["complete"] = false;
  results["incomplete_reason"] = "interrupted <b>by</b> the user";
  auto& condition = results["runs"][0]["conditions"][0];
  condition["outputs"] = Json::array();
  condition["partitions"] = Json::array();
  results["runs"][0]["conditions"][1]["outputs"][0]["text"] = "";
  results["runs"][0]["conditions"][1]["outputs"][0]["itl_ms"] = {{"median", nullptr}, {"p95", nullptr}};
  std::string body = body_of(drawn(page_of(results)));
  EXPECT_TRUE(contains(body, "data-ready"));
  EXPECT_FALSE(contains(body, "data-fault")) << body.substr(0, 600);
  EXPECT_TRUE(contains(body, "Incomplete: interrupted &lt;b&gt;by&lt;/b&gt; the user"));

  results["runs"] = Json::array();
  body = body_of(drawn(page_of(results)));
  EXPECT_TRUE(contains(body, "data-ready"));
  EXPECT_FALSE(contains(body, "data-fault"));
  EXPECT_TRUE(contains(body, "There are no runs in these results."));
}

}  // namespace
}  // namespace bulkhead::report
