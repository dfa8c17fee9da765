// SPDX-License-Identifier: MIT
// `bulkhead verify` and `completion` as a person or a script uses them; the fake engine needs no model.
#include "base/json.h"
#include "cli/real_program.h"
#include "json_of.h"
#include "paths.h"
#include "sealed.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <tuple>
#include <utility>

namespace bulkhead {
namespace {

using testing::run_program;
using testing::TemporaryFolder;

std::string scenario() {
  return testing::source_folder() + "/scenarios/fish_farm.json";
}

// A run folder of the fake engine.
std::string recorded_run(const TemporaryFolder& folder) {
  const auto run = (folder / "run").string();
  const auto made = run_program(folder.path(), "run " + scenario() + " --engine fake -n 20 -q --out " + run);
  EXPECT_EQ(made.code, 0) << made.err;
  return run;
}

TEST(Verify, ReplaysARunAndSaysSo) {
  const TemporaryFolder folder;
  const auto run = recorded_run(folder);
  const auto told = run_program(folder.path(), "verify " + run + " --json -q");
  ASSERT_EQ(told.code, 0) << told.err;
  const auto report = testing::json_of(told.out);
  EXPECT_EQ(report["verdict"], "clean");
  EXPECT_EQ(report["checks"][0]["name"], "run_replay");
  EXPECT_EQ(report["checks"][0]["detail"]["solo_runs"], 12);
  EXPECT_GT(report["checks"][0]["compared"].get<int>(), 12 * 20);
}

TEST(Verify, ChangedTranscriptEndsWithSeven) {
  const TemporaryFolder folder;
  const auto run = recorded_run(folder);
  const std::filesystem::path path = std::filesystem::path(run) / "transcript.jsonl";
  auto text = testing::read_file(path);
  const auto at = text.find("\"logits\":[\"");
  ASSERT_NE(at, std::string::npos);
  text[at + 11] = text[at + 11] == '0' ? '1' : '0';
  std::ofstream(path) << text;
  EXPECT_EQ(run_program(folder.path(), "verify " + run + " -q").code, 4) << "not what the manifest names";
  testing::seal_again(run);
  const auto told = run_program(folder.path(), "verify " + run + " -q");
  EXPECT_EQ(told.code, 7) << told.out << told.err;
  EXPECT_NE(told.out.find("logits of step 0"), std::string::npos) << told.out;
}

// As a forger leaves them who computes the sums anew.
TEST(Verify, ResultsThatSayOtherTokensThanTheTranscriptEndWithFour) {
  const TemporaryFolder folder;
  const auto run = recorded_run(folder);
  const std::filesystem::path path = std::filesystem::path(run) / "results.json";
  const auto whole = testing::read_file(path);
  for (const std::string field : {"\"token_ids\": [", "\"logit_hash\": \"", "\"finish\": \""}) {
    auto text = whole;
    const auto at = text.find_first_not_of(" \n", text.rfind(field) + field.size());
    text[at] = text[at] == '1' ? '2' : '1';
    std::ofstream(path) << text;
    testing::seal_again(run);
    const auto told = run_program(folder.path(), "verify " + run + " -q");
    EXPECT_EQ(told.code, 4) << field << told.out << told.err;
    EXPECT_NE(told.err.find("not what the transcript says"), std::string::npos) << told.err;
  }
}

TEST(Verify, DamagedTranscriptIsNamed) {
  const TemporaryFolder folder;
  const auto run = recorded_run(folder);
  std::ofstream(std::filesystem::path(run) / "transcript.jsonl", std::ios::app) << "{\"call\":1}\n";
  testing::seal_again(run);
  const auto told = run_program(folder.path(), "verify " + run + " -q");
  EXPECT_EQ(told.code, 3) << told.err;
  EXPECT_NE(told.err.find("transcript.jsonl, line"), std::string::npos) << told.err;
  EXPECT_EQ(run_program(folder.path(), "verify " + (folder / "none").string() + " -q").code, 3);
}

// The options of the model in it are what a forger chose: they start nothing before they are checked.
TEST(Verify, AnEngineIsNotMadeFromOptionsOutOfTheirRange) {
  const std::pair<std::string, std::string> forged[] = {
      {"\"threads\":[0-9]*", "\"threads\":100000"},      {"\"threads\":[0-9]*", "\"threads\":-1"},
      {"\"threads\":[0-9]*", "\"threads\":\"x\""},       {"\"context_tokens\":[0-9]*", "\"context_tokens\":4294967297"},
      {"\"gpu_layers\":[0-9]*", "\"gpu_layers\":1e300"}, {"\"leaky\":false", "\"leaky\":[]"}};
  const TemporaryFolder folder;
  const auto run = recorded_run(folder);
  const std::filesystem::path path = std::filesystem::path(run) / "transcript.jsonl";
  const auto text = testing::read_file(path);
  for (const auto& [from, to] : forged) {
    const auto changed = std::regex_replace(text, std::regex(from), to, std::regex_constants::format_first_only);
    ASSERT_NE(changed, text) << to;
    std::ofstream(path) << changed;
    testing::seal_again(run);
    const auto told = run_program(folder.path(), "verify " + run + " -q");
    EXPECT_EQ(told.code, 3) << to << told.err;
    EXPECT_NE(told.err.find("transcript.jsonl, line 1"), std::string::npos) << told.err;
  }
}

TEST(Verify, MutantEndsWithSevenAndATraceThatFailsAgain) {
  const TemporaryFolder folder;
  const auto told = run_program(folder.path(), "verify --engine fake -m mutant:D5 --traces 40 --json -q");
  ASSERT_EQ(told.code, 7) << told.err;
  const auto trace = folder / "trace.json";
  std::ofstream(trace) << testing::json_of(told.out)["failing_trace"].dump();
  EXPECT_EQ(run_program(folder.path(), "verify --engine fake -m mutant:D5 -q --trace " + trace.string()).code, 7);
  EXPECT_NE(run_program(folder.path(), "verify --engine fake -q --trace " + trace.string()).code, 7);
}

TEST(Verify, SoloRunsInProcessesOfTheirOwn) {
  const TemporaryFolder folder;
  const auto told = run_program(folder.path(), "verify --engine fake --traces 3 --fresh-process --json -q");
  ASSERT_EQ(told.code, 0) << told.err << told.out;
  EXPECT_EQ(testing::json_of(told.out)["alone"], "process");
}

TEST(Verify, GuardOfAnEngineWithoutCellsIsRefused) {
  const TemporaryFolder folder;
  const auto told = run_program(folder.path(), "verify --engine fake --grade process --guard pages --traces 1 -q");
  EXPECT_EQ(told.code, 2) << told.err;
  EXPECT_NE(told.err.find("--guard"), std::string::npos) << told.err;
}

TEST(Completion, IsAScriptThatTheShellTakes) {
  const TemporaryFolder folder;
  const auto bash = run_program(folder.path(), "completion bash");
  ASSERT_EQ(bash.code, 0) << bash.err;
  EXPECT_NE(bash.out.find("verify"), std::string::npos);
  EXPECT_EQ(bash.out.find("worker"), std::string::npos) << "it is not for people";
  std::ofstream(folder / "complete.bash") << bash.out
                                          << "COMP_WORDS=(bulkhead run --tem); COMP_CWORD=2; _bulkhead; echo "
                                             "\"${COMPREPLY[*]}\"; COMP_WORDS=(bulkhead ver); COMP_CWORD=1; "
                                             "_bulkhead; echo \"${COMPREPLY[*]}\"\n";
  const auto out = (folder / "completed.txt").string();
  ASSERT_EQ(std::system(("bash " + (folder / "complete.bash").string() + " >" + out).c_str()), 0);
  EXPECT_EQ(testing::read_file(out), "--temp\nverify\n");
  EXPECT_EQ(run_program(folder.path(), "completion zsh").code, 0);
  EXPECT_NE(run_program(folder.path(), "completion fish").out.find("complete -c bulkhead"), std::string::npos);
  EXPECT_EQ(run_program(folder.path(), "completion csh").code, 2);
}

// Tier `workers`: random-weight models, made by workers.checkpoints.
class FrameworkVerify : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {
 protected:
  testing::Outcome verify(const std::string& flags) {
    const auto& [engine, family] = GetParam();
    return run_program(folder_.path(), "verify --engine " + std::string(engine) + " -m " + testing::build_folder() +
                                           "/tiny_checkpoints/" + family + " -t 1 -q --json --quick " + flags);
  }

  TemporaryFolder folder_;
};

TEST_P(FrameworkVerify, FindsNoDifference) {
  const auto told = verify("--traces 6");
  ASSERT_EQ(told.code, 0) << told.out << told.err;
  const auto report = testing::json_of(told.out);
  EXPECT_EQ(report["verdict"], "clean");
  EXPECT_EQ(report["traces"], 12) << "six through the seam, six through the public surface";
  ASSERT_FALSE(report["checks"].empty());
  for (const auto& check : report["checks"]) {
    EXPECT_EQ(check["differences"], 0) << check;
    EXPECT_GT(check["compared"].get<int>(), 0) << check;
    EXPECT_TRUE(check["control_caught"].get<bool>()) << check;
  }
}

TEST_P(FrameworkVerify, CatchesTheSharedCacheOfTheSeed) {
  const auto told = verify("--traces 6 --leaky");
  ASSERT_EQ(told.code, 7) << told.out << told.err;
  const auto report = testing::json_of(told.out);
  EXPECT_EQ(report["verdict"], "interference");
  EXPECT_NE(report["engine"].get<std::string>().find("(leaky)"), std::string::npos);
  EXPECT_FALSE(report["failing_trace"].is_null());
}

INSTANTIATE_TEST_SUITE_P(Frameworks, FrameworkVerify,
                         ::testing::Combine(::testing::Values("transformers", "mlx"),
                                            ::testing::Values("llama", "gemma3")));

}  // namespace
}  // namespace bulkhead
