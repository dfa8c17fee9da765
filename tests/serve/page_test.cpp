// SPDX-License-Identifier: MIT
// The page's files: what is compiled in is what lies in page/dist, for everybody, under a policy that lets nothing in.
// What the page does is tested in a browser (scripts/page_check.sh).
#include "paths.h"
#include "report/html.h"
#include "serve/served.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

namespace bulkhead::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::map<std::string, std::string> kPaths = {{"/", "index.html"},
                                                   {"/page.js", "page.js"},
                                                   {"/page.css", "page.css"},
                                                   {"/icon.svg", "icon.svg"},
                                                   {"/report-frame", "report_frame.html"},
                                                   {"/report_frame.js", "report_frame.js"}};

std::string header(const Served::Reply& reply, const std::string& name) {
  const auto found = reply.headers.find(name);
  return found == reply.headers.end() ? std::string() : found->second;
}

std::string dist_file(const std::string& name) {
  std::ifstream file(source_folder() + "/page/dist/" + name, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Page, IsThereForWhoHasNoKeyAndNothingElseIs) {
  const Served served({.api_keys = {"secret"}});
  for (const auto& [path, name] : kPaths) {
    const auto reply = served.get(path);
    EXPECT_EQ(reply.status, 200) << path;
    EXPECT_EQ(reply.body, dist_file(name)) << path;
    EXPECT_EQ(header(reply, "X-Content-Type-Options"), "nosniff") << path;
  }
  const httplib::Headers frame = {{"Origin", "null"}};
  EXPECT_EQ(served.get("/report_frame.js", frame).status, 200) << "a report's frame has no origin";
  EXPECT_EQ(served.get("/props", frame).status, 403);
  for (const auto* path : {"/index.html", "/page.js/", "//", "/../page.js", "/page.jsx", "/v1/runs", "/props"}) {
    EXPECT_EQ(served.get(path).status, 401) << path;
  }
  EXPECT_EQ(header(served.get("/"), "Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(header(served.get("/page.js"), "Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(header(served.get("/page.css"), "Content-Type"), "text/css; charset=utf-8");
  EXPECT_EQ(header(served.get("/icon.svg"), "Content-Type"), "image/svg+xml");
  auto client = served.client();
  const auto head = client.Head("/");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
}

TEST(Page, ServesEveryFileThatLiesInDist) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() + "/page/dist")) {
    names.push_back(entry.path().filename().string());
  }
  std::vector<std::string> served;
  for (const auto& [path, name] : kPaths) served.push_back(name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAreArray(served));
}

TEST(Page, NamesOnlyWhatThisServerServesAndRunsNothingInline) {
  const Served served;
  for (const auto* path : {"/", "/report-frame"}) {
    const auto page = served.get(path).body;
    EXPECT_THAT(page, Not(HasSubstr("//"))) << "no other host";
    EXPECT_THAT(page, Not(HasSubstr("style=")));
    EXPECT_THAT(page, Not(HasSubstr("onclick")));
    for (std::size_t at = page.find("<script"); at != std::string::npos; at = page.find("<script", at + 1)) {
      EXPECT_EQ(page.compare(at, 13, "<script src=\""), 0) << path;
    }
  }
  for (const auto* word : {"innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "http:", "https:"}) {
    auto script = served.get("/page.js").body;
    // The one address in it is the name of SVG's elements.
    const std::string kSvg = "http://www.w3.org/2000/svg";
    if (const auto at = script.find(kSvg); at != std::string::npos) script.erase(at, kSvg.size());
    EXPECT_THAT(script, Not(HasSubstr(word)));
  }
}

TEST(Page, ThePolicyAllowsItsOwnFilesAndTheFrameAReportAlone) {
  const Served served;
  const auto policy = header(served.get("/"), "Content-Security-Policy");
  for (const auto* part :
       {"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self'", "frame-ancestors 'none'",
        "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"}) {
    EXPECT_THAT(policy, HasSubstr(part));
  }
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
  EXPECT_EQ(header(served.get("/"), "X-Frame-Options"), "DENY");
  EXPECT_EQ(served.get("/report-frame").headers.count("X-Frame-Options"), 1U);
  EXPECT_EQ(header(served.get("/report-frame"), "X-Frame-Options"), "SAMEORIGIN");
  EXPECT_EQ(header(served.get("/report_frame.js"), "Cross-Origin-Resource-Policy"), "cross-origin");
  EXPECT_EQ(header(served.get("/page.js"), "Cross-Origin-Resource-Policy"), "same-origin");
  const auto frame = header(served.get("/report-frame"), "Content-Security-Policy");
  EXPECT_THAT(frame, HasSubstr("default-src 'none'; script-src 'self' " + report::script_sources().value() + ";"));
  EXPECT_THAT(frame, HasSubstr("sandbox allow-scripts"));
  EXPECT_THAT(frame, Not(HasSubstr("allow-same-origin")));
  EXPECT_THAT(frame, Not(HasSubstr("connect-src")));
  EXPECT_THAT(frame, Not(HasSubstr("unsafe-eval")));
}

}  // namespace
}  // namespace bulkhead::testing
