// SPDX-License-Identifier: MIT
#include "report/results.h"

#include "fixture.h"
#include "report/csv.h"
#include "report/html.h"
#include "report/markdown.h"
#include "report/table.h"
#include "sealed.h"

#include <gtest/gtest.h>

#include <functional>

namespace bulkhead::report {
namespace {

Error error_of(const std::string& content) {
  const Folder folder;
  folder.write("results.json", content);
  testing::seal_folder(folder.path(), "run", {"results.json"});
  const auto read = read_results(folder.path());
  EXPECT_FALSE(read.ok());
  return read.ok() ? Error{} : read.error();
}

TEST(ReadResults, GivesTheDocument) {
  const Folder folder;
  folder.write("results.json", fixture_text());
  testing::seal_folder(folder.path(), "run", {"results.json"});
  const auto read = read_results(folder.path());
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_EQ(*read, fixture());
}

TEST(ReadResults, NoFile) {
  const Folder folder;
  for (const auto& path : {folder.path(), folder.path() / "nowhere"}) {
    const auto read = read_results(path);
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, ErrorCode::kBadInput);
    EXPECT_TRUE(contains(read.error().message, "results.json")) << read.error().to_string();
  }
}

TEST(ReadResults, ADocumentThatIsNotTheOneNamedIsCorrupt) {
  const Folder folder;
  folder.write("results.json", fixture_text());
  const auto unsealed = read_results(folder.path());
  ASSERT_FALSE(unsealed.ok());
  EXPECT_EQ(unsealed.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(contains(unsealed.error().message, "manifest.json")) << unsealed.error().to_string();
  testing::seal_folder(folder.path(), "run", {"results.json"});
  auto forged = fixture();
  forged["runs"][0]["seed"] = 99;
  folder.write("results.json", forged.dump());
  const auto read = read_results(folder.path());
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(contains(read.error().place, "results.json")) << read.error().to_string();
}

TEST(ReadResults, CutOffAnywhere) {
  const std::string whole = fixture_text();
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, whole.size() / 3, whole.size() - 3}) {
    EXPECT_EQ(error_of(whole.substr(0, length)).code, ErrorCode::kCorrupt) << length;
  }
}

TEST(ReadResults, NotJsonOrNotThisDocument) {
  for (const std::string content : {"hello", "[]", "7", "{}", "\xff\xfe", "{\"format_version\": 1}"}) {
    const Error error = error_of(content);
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << content;
    EXPECT_TRUE(contains(error.place, "results.json")) << error.to_string();
  }
}

TEST(ReadResults, AnotherVersionIsNamed) {
  for (const Json& version : {Json(2), Json(0), Json("1"), Json(), Json(1.5)}) {
    Json results = fixture();
    results["format_version"] = version;
    const Error error = error_of(results.dump());
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << version;
    EXPECT_TRUE(contains(error.message, version.dump())) << error.to_string();
    EXPECT_TRUE(contains(error.place, "format_version")) << error.to_string();
  }
}

TEST(ReadResults, UnknownFieldsAreAllowed) {
  Json results = fixture();
  results["later"] = 1;
  results["runs"][0]["conditions"][0]["outputs"][0]["later"] = Json::array();
  EXPECT_TRUE(check_results(results).ok());
}

TEST(ReadResults, PlaceNamesTheField) {
  Json results = fixture();
  results["runs"][1]["conditions"][2]["outputs"][0]["tokens"] = -1;
  const auto checked = check_results(results);
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().place, "results.json: runs[1].conditions[2].outputs[0].tokens");
  EXPECT_EQ(checked.error().code, ErrorCode::kCorrupt);
}

TEST(ReadResults, OutputOfOneTokenHasNoTimeBetweenTokens) {
  Json results = fixture();
  results["runs"][0]["conditions"][0]["outputs"][0]["itl_ms"] = {{"median", nullptr}, {"p95", nullptr}};
  EXPECT_TRUE(check_results(results).ok());
  EXPECT_TRUE(to_html(results).ok());
}

// Calls `visit` for `value` and every value inside it. `visit` leaves it as it was.
void for_each_value(Json& value, const std::function<void(Json&)>& visit) {
  visit(value);
  if (!value.is_structured()) return;
  for (auto& inner : value) for_each_value(inner, visit);
}

// Any value replaced by another: check_results refuses or not, the reports draw what is there, and nothing throws.
TEST(Reports, AnyDocument) {
  Json results = fixture();
  results["runs"].erase(1);
  results["runs"].erase(1);
  Json& conditions = results["runs"][0]["conditions"];
  while (conditions.size() > 2) conditions.erase(conditions.size() - 1);
  std::size_t refused = 0;
  std::size_t seen = 0;
  for_each_value(results, [&](Json& value) {
    for (const Json& other : {Json(), Json::array(), Json::object(), Json("x"), Json(true), Json(-1)}) {
      const Json kept = value;
      value = other;
      ++seen;
      EXPECT_NO_THROW({
        refused += check_results(results).ok() ? 0U : 1U;
        (void)to_table(results);
        (void)to_csv(results);
        // The long ones on a sample: they take a millisecond each.
        if (seen % 16 == 0) (void)to_markdown(results);
        if (seen % 512 == 0) (void)to_html(results);
      });
      value = kept;
    }
  });
  EXPECT_GT(seen, 2000U);
  EXPECT_GT(refused, seen / 2);
}

TEST(Reports, NothingRun) {
  Json results = fixture();
  results["runs"] = Json::array();
  results["term_summary"] = Json::array();
  results["complete"] = false;
  results["incomplete_reason"] = "stopped before the first run";
  ASSERT_TRUE(check_results(results).ok());
  EXPECT_TRUE(contains(to_table(results), "INCOMPLETE: stopped before the first run"));
  EXPECT_TRUE(contains(to_markdown(results), "**Incomplete:** stopped before the first run"));
  EXPECT_EQ(occurrences(to_csv(results), "\n"), 1U);
  EXPECT_TRUE(to_html(results).ok());
}

}  // namespace
}  // namespace bulkhead::report
