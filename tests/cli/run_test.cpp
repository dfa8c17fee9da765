// SPDX-License-Identifier: MIT
// The main job with the real program: what it writes, that it repeats, and what it says.
#include "base/json.h"
#include "cli/real_program.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace bulkhead::testing {
namespace {

const std::string kScenario = testing::source_folder() + "/scenarios/hospital_pharmacy.json";

Json results_of(const std::filesystem::path& folder) {
  return Json::parse(read_file(folder / "results.json"), nullptr, false);
}

std::vector<std::string> texts_of(const Json& results) {
  std::vector<std::string> texts;
  for (const auto& run : results["runs"]) {
    for (const auto& condition : run["conditions"]) {
      for (const auto& output : condition["outputs"]) texts.push_back(output["text"]);
    }
  }
  return texts;
}

TEST(Run, WritesTheWholeFolderAndDataOnStdout) {
  const TemporaryFolder folder;
  const auto out = folder / "run";
  const auto outcome =
      run_program(folder.path(), "run " + kScenario + " --engine fake -n 16 --json --out " + out.string());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* name : {"results.json", "samples.jsonl", "manifest.json", "report.md", "report.html"}) {
    EXPECT_TRUE(std::filesystem::exists(out / name)) << name;
  }
  EXPECT_EQ(Json::parse(outcome.out, nullptr, false), results_of(out));
  const auto lines = read_file(out / "samples.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 12);
  EXPECT_EQ(outcome.err.find("\r"), std::string::npos) << "bars are for terminals";
}

TEST(Run, TheClockStandsInTheResults) {
  const TemporaryFolder folder;
  const auto clock_of = [&](const std::string& name, const std::string& flags) {
    const auto out = folder / name;
    const auto outcome =
        run_program(folder.path(), "run " + kScenario + " --engine fake -n 4 -q " + flags + " --out " + out.string());
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return results_of(out)["engine"]["clock"].get<std::string>();
  };
  EXPECT_EQ(clock_of("given", "--clock 2024-02-29"), "2024-02-29T00:00:00");
  EXPECT_EQ(clock_of("now", "").size(), std::string("2024-02-29T00:00:00").size());
}

TEST(Run, ManifestHoldsTheHashes) {
  const TemporaryFolder folder;
  const auto out = folder / "run";
  ASSERT_EQ(run_program(folder.path(), "run " + kScenario + " --engine fake -n 4 -q --out " + out.string()).code, 0);
  const auto manifest = Json::parse(read_file(out / "manifest.json"), nullptr, false);
  EXPECT_EQ(manifest["scenarios"][0]["sha256"].get<std::string>().size(), 64U);
  EXPECT_EQ(manifest["settings"]["format_sha256"].get<std::string>().size(), 64U);
  EXPECT_EQ(manifest["binary_sha256"].get<std::string>().size(), 64U);
  EXPECT_EQ(manifest["settings"]["seed"], 42);
}

TEST(Run, APartitionInAProcessOfItsOwnSaysTheSame) {
  const TemporaryFolder folder;
  const auto arguments = "run " + kScenario + " --engine fake -n 12 -q --out " + (folder / "run").string();
  ASSERT_EQ(run_program(folder.path(), arguments).code, 0);
  const auto outcome = run_program(folder.path(), arguments + "2 --grade process");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto processes = results_of(folder / "run2");
  EXPECT_EQ(processes["engine"]["grade"], "process");
  EXPECT_EQ(texts_of(processes), texts_of(results_of(folder / "run")));
  const auto verified = run_program(folder.path(), "verify --engine fake --grade process --traces 2 --json");
  ASSERT_EQ(verified.code, 0) << verified.err;
  EXPECT_EQ(Json::parse(verified.out, nullptr, false)["verdict"], "clean");
}

TEST(Worker, IsHiddenAndEndsWithItsInput) {
  const TemporaryFolder folder;
  EXPECT_EQ(run_program(folder.path(), "--help").out.find("worker"), std::string::npos);
  EXPECT_EQ(run_program(folder.path(), "worker </dev/null").code, 0);
  const auto rubbish = run_program(folder.path(), "worker", "echo rubbish |");
  EXPECT_EQ(rubbish.code, 6);
  EXPECT_TRUE(rubbish.out.empty());
  EXPECT_NE(rubbish.err.find("not the worker protocol"), std::string::npos) << rubbish.err;
}

TEST(Run, RepeatRunsOneSeedAfterAnother) {
  const TemporaryFolder folder;
  const auto out = folder / "run";
  ASSERT_EQ(run_program(folder.path(), "run " + kScenario +
                                           " --engine fake -n 8 -q --repeat 3 --conditions sequential,semantic --out " +
                                           out.string())
                .code,
            0);
  const auto results = results_of(out);
  ASSERT_EQ(results["runs"].size(), 3U);
  EXPECT_EQ(results["runs"][2]["seed"], 44);
  EXPECT_EQ(results["term_summary"][0]["n"], 3);
  const auto texts = texts_of(results);
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), texts.size());
}

TEST(Run, EveryFormOfOutput) {
  const TemporaryFolder folder;
  const auto start = "run " + kScenario + " --engine fake -n 4 -q --out " + (folder / "run").string();
  EXPECT_NE(run_program(folder.path(), start).out.find("Sequential"), std::string::npos);
  EXPECT_EQ(run_program(folder.path(), start + " -o md").out.rfind("# ", 0), 0U);
  const auto csv = run_program(folder.path(), start + " -o csv").out;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 13);
}

TEST(Run, PlanPrintsEveryStepAsText) {
  const TemporaryFolder folder;
  const auto text = run_program(folder.path(), "plan " + kScenario + " --engine fake");
  ASSERT_EQ(text.code, 0) << text.err;
  for (const char* word : {"sequential/all/A", "semantic/cluster_3", "fork", "send", "generate"}) {
    EXPECT_NE(text.out.find(word), std::string::npos) << word;
  }
  const auto json = run_program(folder.path(), "plan " + kScenario + " --engine fake --json");
  EXPECT_FALSE(Json::parse(json.out, nullptr, false).is_discarded());
}

class ModelRun : public ::testing::TestWithParam<const char*> {};

TEST_P(ModelRun, TheSameCommandTwiceGivesTheSameTexts) {
  const auto model = model_file("gemma-3-270m-q4_k_m.gguf");
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is not there";
  const TemporaryFolder folder;
  const auto command = "run " + kScenario + " -m " + model + " -n 24 -q " + GetParam() + " --out ";
  ASSERT_EQ(run_program(folder.path(), command + (folder / "1").string()).code, 0);
  ASSERT_EQ(run_program(folder.path(), command + (folder / "2").string()).code, 0);
  const auto first = results_of(folder / "1");
  EXPECT_EQ(texts_of(first), texts_of(results_of(folder / "2")));
  // And the job is the whole job: isolation only where caches are apart, messages in the third partition.
  for (const auto& condition : first["runs"][0]["conditions"]) {
    EXPECT_EQ(condition["isolation"]["achieved"], condition["name"] == "semantic") << condition["isolation"].dump();
  }
  const auto& semantic = first["runs"][0]["conditions"][3];
  ASSERT_EQ(semantic["partitions"].size(), 3U);
  ASSERT_EQ(semantic["partitions"][2]["messages"].size(), 2U);
  EXPECT_EQ(semantic["partitions"][2]["messages"][0]["from"], "semantic/cluster_1");
  EXPECT_GT(semantic["partitions"][2]["messages"][1]["tokens"].get<int>(), 10);
}

INSTANTIATE_TEST_SUITE_P(Model, ModelRun,
                         ::testing::Values("--temp 0", "--temp 0.7",
                                           "--temp 0.8 --top-k 40 --top-p 0.95 --min-p 0.05 --repeat-penalty 1.1",
                                           "--grade mask --temp 0", "-ctk q8_0 -ctv q8_0 --temp 0.7"));

}  // namespace
}  // namespace bulkhead::testing
