// SPDX-License-Identifier: MIT
// The main job with the real program: what it writes, that it repeats, and what it says.
#include "base/hash.h"
#include "base/json.h"
#include "cli/real_program.h"
#include "json_of.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace bulkhead::testing {
namespace {

Json results_of(const std::filesystem::path& folder) {
  return json_of(read_file(folder / "results.json"));
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
  EXPECT_EQ(json_of(outcome.out), results_of(out));
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
  const auto manifest = json_of(read_file(out / "manifest.json"));
  EXPECT_EQ(manifest["scenarios"][0]["sha256"].get<std::string>().size(), 64U);
  EXPECT_EQ(manifest["settings"]["format_sha256"].get<std::string>().size(), 64U);
  EXPECT_EQ(manifest["binary_sha256"].get<std::string>().size(), 64U);
  EXPECT_EQ(manifest["settings"]["seed"], 42);
  EXPECT_EQ(manifest["kind"], "run");
  for (const char* name : {"results.json", "samples.jsonl", "transcript.jsonl", "report.md", "report.html"}) {
    EXPECT_EQ(manifest["documents"][name], sha256_hex(read_file(out / name))) << name;
  }
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
  EXPECT_EQ(json_of(verified.out)["verdict"], "clean");
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

TEST(Run, ScenariosOfOneIdAndOtherContentsAreNotOne) {
  const TemporaryFolder folder;
  auto other = read_file(kScenario);
  other.insert(other.rfind('}'), " ");
  write_file(folder / "other.json", other);
  const auto run = [&](const std::string& second, const char* out) {
    return run_program(folder.path(), "run " + kScenario + " " + second +
                                          " --engine fake -n 4 -q --conditions sequential --out " +
                                          (folder / out).string());
  };
  ASSERT_EQ(run((folder / "other.json").string(), "run").code, 0);
  const auto results = results_of(folder / "run");
  ASSERT_EQ(results["runs"].size(), 2U);
  ASSERT_EQ(results["term_summary"].size(), 6U) << "three outputs of each";
  std::set<std::string> sums;
  for (const auto& entry : results["term_summary"]) {
    EXPECT_EQ(entry["n"], 1);
    sums.insert(entry["scenario_sha256"]);
  }
  EXPECT_EQ(sums, (std::set<std::string>{results["runs"][0]["scenario"]["sha256"],
                                         results["runs"][1]["scenario"]["sha256"]}));
  const auto twice = run_program(folder.path(), "run " + kScenario + " " + kScenario +
                                                    " --engine fake -n 4 --conditions sequential --out " +
                                                    (folder / "twice").string());
  EXPECT_EQ(twice.code, 0) << twice.err;
  EXPECT_NE(twice.err.find("given twice and taken once"), std::string::npos) << twice.err;
  EXPECT_EQ(results_of(folder / "twice")["runs"].size(), 1U);
}

// What lies in the folder of --out is another's until --force says otherwise, and foreign files are never replaced.
TEST(Run, LeavesWhatIsNotItsOwn) {
  const TemporaryFolder folder;
  const auto start = "run " + kScenario + " --engine fake -n 4 -q --conditions sequential ";
  ASSERT_EQ(run_program(folder.path(), start + "--out " + (folder / "run").string()).code, 0);
  const auto before = read_file(folder / "run/results.json");
  const auto refused = run_program(folder.path(), start + "-s 7 --out " + (folder / "run").string());
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("--force"), std::string::npos) << refused.err;
  EXPECT_EQ(read_file(folder / "run/results.json"), before);
  EXPECT_EQ(run_program(folder.path(), start + "-s 7 --force --out " + (folder / "run").string()).code, 0);
  EXPECT_NE(read_file(folder / "run/results.json"), before);
  write_file(folder / "mine/report.md", "my own");
  const auto here = "cd " + (folder / "mine").string() + " &&";
  EXPECT_EQ(run_program(folder.path(), start + "--force --out .", here).code, 2);
  EXPECT_EQ(read_file(folder / "mine/report.md"), "my own");
  EXPECT_FALSE(std::filesystem::exists(folder / "mine/manifest.json"));
}

TEST(Run, RunsThatStartInOneSecondHaveFoldersOfTheirOwn) {
  const TemporaryFolder folder;
  const auto one = program() + " run " + kScenario + " --engine fake -n 4 -q --conditions sequential -s ";
  std::string all = "cd " + folder.path().string() + " || exit 9; ";
  for (int seed = 1; seed <= 4; ++seed) all += one + std::to_string(seed) + " >/dev/null & ";
  ASSERT_EQ(std::system((all + "wait").c_str()), 0);
  std::set<int> seeds;
  for (const auto& run : std::filesystem::directory_iterator(folder / "runs")) {
    seeds.insert(results_of(run.path())["runs"][0]["seed"].get<int>());
    EXPECT_EQ(run_program(folder.path(), "report -q " + run.path().string()).code, 0) << run.path();
  }
  EXPECT_EQ(seeds, (std::set<int>{1, 2, 3, 4}));
}

TEST(Run, OfRunsThatStartAtOnceInOneFolderOneHasIt) {
  const TemporaryFolder folder;
  const auto out = (folder / "run").string();
  const auto one = program() + " run " + kScenario + " --engine fake -n 4 -q --out " + out + " -s ";
  std::string all;
  for (int seed = 1; seed <= 4; ++seed) {
    const auto number = std::to_string(seed);
    all += "(" + one + number + " >/dev/null 2>&1; echo $? >" + (folder / ("code" + number)).string() + ") & ";
  }
  ASSERT_EQ(std::system((all + "wait").c_str()), 0);
  int had_it = 0;
  for (int seed = 1; seed <= 4; ++seed) {
    const auto code = std::stoi(read_file(folder / ("code" + std::to_string(seed))));
    EXPECT_TRUE(code == 0 || code == 2 || code == 5) << code;
    if (code != 0) continue;
    ++had_it;
    EXPECT_EQ(results_of(out)["runs"][0]["seed"], seed);
  }
  EXPECT_EQ(had_it, 1);
  EXPECT_EQ(run_program(folder.path(), "verify -q " + out).code, 0);
}

TEST(Run, ForgedResultsAreNeitherDrawnNorVerified) {
  const TemporaryFolder folder;
  const auto out = folder / "run";
  ASSERT_EQ(run_program(folder.path(), "run " + kScenario + " --engine fake -n 4 -q --out " + out.string()).code, 0);
  for (const char* const name : {"results.json", "samples.jsonl", "transcript.jsonl", "manifest.json", "report.md"}) {
    const auto whole = read_file(out / name);
    auto forged = whole;
    const auto digit = forged.find_last_of("0123456789");
    forged[digit] = forged[digit] == '0' ? '1' : '0';
    write_file(out / name, forged);
    for (const char* const command : {"report -q ", "verify -q "}) {
      const auto told = run_program(folder.path(), command + out.string());
      EXPECT_EQ(told.code, 4) << command << name << ": " << told.out << told.err;
      EXPECT_NE(told.err.find(name), std::string::npos) << told.err;
    }
    write_file(out / name, whole);
  }
  EXPECT_EQ(run_program(folder.path(), "verify -q " + out.string()).code, 0);
}

TEST(Run, EveryFormOfOutput) {
  const TemporaryFolder folder;
  const auto start = "run " + kScenario + " --engine fake -n 4 -q --force --out " + (folder / "run").string();
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
  EXPECT_TRUE(json_of(json.out).is_object());
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
