// SPDX-License-Identifier: MIT
// `bulkhead compare` with the real program.
#include "base/json.h"
#include "cli/real_program.h"
#include "json_of.h"
#include "paths.h"
#include "sealed.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <string>

namespace bulkhead::testing {
namespace {

using ::testing::HasSubstr;

std::string compare_command(const TemporaryFolder& folder, const std::string& more = "--on fake --on fake") {
  return "compare " + kScenario + " " + more + " -n 8 --temp 0 --conditions sequential,semantic --out " +
         (folder / "both").string();
}

Json json_in(const std::filesystem::path& path) {
  return json_of(read_file(path));
}

void replace_in(const std::filesystem::path& path, const std::string& from, const std::string& to) {
  auto text = read_file(path);
  const auto at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  write_file(path, text.replace(at, from.size(), to));
}

TEST(Compare, TheSameEngineTwiceIsTheSameAndWritesEverything) {
  const TemporaryFolder folder;
  const auto outcome = run_program(folder.path(), compare_command(folder, "--on fake --on fake --json"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto both = folder / "both";
  const auto comparison = json_in(both / "comparison.json");
  EXPECT_EQ(json_of(outcome.out), comparison);
  EXPECT_EQ(comparison["engines"][0]["name"], "fake");
  EXPECT_EQ(comparison["engines"][1]["name"], "fake-2");
  ASSERT_EQ(comparison["inputs"].size(), 6U);
  for (const auto& row : comparison["inputs"]) EXPECT_EQ(row["status"], "equal");
  for (const auto& output : comparison["outputs"]) EXPECT_TRUE(output["engines"][1]["parts_at"].is_null());
  EXPECT_GT(comparison["engines"][1]["memory"]["peak_rss_bytes"], 1000000);
  EXPECT_GE(comparison["engines"][1]["engine"]["load_ms"], 0);
  for (const auto* name : {"comparison.md", "comparison.html", "fake/results.json", "fake-2/report.html"}) {
    EXPECT_TRUE(std::filesystem::exists(both / name)) << name;
  }
  EXPECT_THAT(outcome.err, HasSubstr("fake-2: starting"));
}

TEST(Compare, AFinishedRunIsNotRunAgainAndAnotherIsNotOverwritten) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_program(folder.path(), compare_command(folder)).code, 0);
  const auto first = read_file(folder / "both/fake/results.json");
  std::filesystem::remove_all(folder / "both/fake-2");
  const auto again = run_program(folder.path(), compare_command(folder));
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("fake: finished before"));
  EXPECT_THAT(again.err, HasSubstr("fake-2: starting"));
  EXPECT_EQ(read_file(folder / "both/fake/results.json"), first);
  const auto other = run_program(folder.path(), compare_command(folder) + " --seed 7");
  EXPECT_EQ(other.code, 2) << other.err;
  EXPECT_THAT(other.err, HasSubstr("another run lies there"));
  EXPECT_EQ(read_file(folder / "both/fake/results.json"), first);
  replace_in(folder / "both/fake-2/results.json", "\"complete\": true", "\"complete\": false");
  EXPECT_EQ(run_program(folder.path(), compare_command(folder)).code, 4) << "a changed document";
  testing::seal_again(folder / "both/fake-2");
  EXPECT_THAT(run_program(folder.path(), compare_command(folder)).err, HasSubstr("fake-2: starting"));
}

TEST(Compare, OtherTokensAreAnErrorThatShowsTheFirstOrAWarning) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_program(folder.path(), compare_command(folder)).code, 0);
  // As an engine would leave it that reads the first context's third token as another.
  const auto second = folder / "both/fake-2";
  const auto results = json_in(second / "results.json");
  const auto sum = results["runs"][0]["conditions"][0]["outputs"][0]["input_sha256"].get<std::string>();
  replace_in(second / "results.json", sum, std::string(64, 'f'));
  const auto transcript = read_file(second / "transcript.jsonl");
  const auto begin = transcript.find("\"tokens\":[");
  ASSERT_NE(begin, std::string::npos);
  auto at = transcript.find(',', transcript.find(',', begin) + 1) + 1;
  const auto token = transcript.substr(at, transcript.find_first_of(",]", at) - at);
  write_file(second / "transcript.jsonl", std::string(transcript).replace(at, token.size(), "90"));
  testing::seal_again(second);
  std::filesystem::remove(folder / "both/comparison.json");
  const auto refused = run_program(folder.path(), compare_command(folder));
  EXPECT_EQ(refused.code, 3) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("token 2 is " + token + " (\""));
  EXPECT_THAT(refused.err, HasSubstr("90 (\"Z\") in the second"));
  EXPECT_FALSE(std::filesystem::exists(folder / "both/comparison.json"));
  const auto allowed = run_program(folder.path(), compare_command(folder) + " --allow-token-differences");
  ASSERT_EQ(allowed.code, 0) << allowed.err;
  EXPECT_EQ(json_in(folder / "both/comparison.json")["inputs"][0]["differences"][0]["at"], 2);
  EXPECT_THAT(read_file(folder / "both/comparison.md"), HasSubstr("Warning"));
}

TEST(Compare, RefusesWhatItCannotDoBeforeAnythingRuns) {
  const TemporaryFolder folder;
  for (const auto& [arguments, words] : std::vector<std::pair<std::string, std::string>>{
           {"--on fake", "nothing to compare"},
           {"--on fake --on nosuch:m", "there is no engine \"nosuch\""},
           {"--on fake --on llama:", "no model after the colon"},
           {"--on fake --on llama:nosuch", "no model and no file named"},
           {"--on fake --on fake,out=elsewhere", "no flag that one engine may have"}}) {
    const auto outcome = run_program(folder.path(), compare_command(folder, arguments));
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_FALSE(std::filesystem::exists(folder / "both"));
  }
}

TEST(Compare, AnEngineThatFailsIsNamedAndWhatWasFinishedIsKept) {
  const TemporaryFolder folder;
  const auto outcome = run_program(folder.path(), compare_command(folder, "--on fake --on fake,ctx-size=16"));
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("--on fake,ctx-size=16"));
  EXPECT_TRUE(std::filesystem::exists(folder / "both/fake/results.json"));
  EXPECT_FALSE(std::filesystem::exists(folder / "both/comparison.json"));
}

// Tier `workers`: the three frameworks with the same weights, in f32, on the shortest scenario: mlx_lm computes some
// ten tokens a second on a CPU.
TEST(FrameworkCompare, ThreeEnginesAreGivenTheSameTokensAndTellOfThemselves) {
  const TemporaryFolder folder;
  const auto converted = testing::build_folder() + "/converted";
  const auto scenario = testing::source_folder() + "/scenarios/market_hall.json";
  const auto outcome = run_program(
      folder.path(), "compare " + scenario + " --on llama:" + converted +
                         "/model-f32.gguf --on transformers:" + converted + "/checkpoint-f32 --on mlx:" + converted +
                         "/mlx-f32 -n 6 --temp 0 --conditions semantic --json --out " + (folder / "three").string());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto comparison = json_of(outcome.out);
  ASSERT_EQ(comparison["engines"].size(), 3U);
  for (const auto& engine : comparison["engines"]) {
    const auto name = engine["name"].get<std::string>();
    EXPECT_GT(engine["engine"]["load_ms"], 0) << name;
    EXPECT_EQ(engine["engine"]["implementation"].size(), 10U) << name << engine["engine"]["implementation"];
    const bool worker = !name.starts_with("llama");
    EXPECT_EQ(engine["memory"]["workers"]["processes"], worker ? 1 : 0) << name;
    // The weights, 270 million of 4 bytes, were somewhere.
    EXPECT_GT(engine["peak_rss_bytes"], 1'000'000'000U) << name;
  }
  // A waits for nobody, the others for it: their tokens may be others where its texts have parted.
  for (const auto& row : comparison["inputs"]) {
    EXPECT_TRUE(row["status"] == "equal" || (row["label"] != "A" && row["status"] == "other messages")) << row;
  }
  for (const auto& engine : comparison["conditions"][0]["engines"]) EXPECT_EQ(engine["achieved"], 1);
  for (const auto& output : comparison["outputs"]) {
    if (output["input"] != "equal") continue;
    for (const auto& engine : output["engines"]) EXPECT_TRUE(engine["parts_at"].is_null()) << output;
  }
}

}  // namespace
}  // namespace bulkhead::testing
