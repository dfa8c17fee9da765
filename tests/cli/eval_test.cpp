// SPDX-License-Identifier: MIT
// `bulkhead eval` as a program: what it prints, refuses, and keeps when it is killed.
#include "base/json.h"
#include "cli/real_program.h"
#include "eval/run_store.h"
#include "json_of.h"
#include "paths.h"
#include "subprocess/child_process.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

namespace bulkhead {
namespace {

using testing::kBenchData;
using testing::run_program;
using testing::TemporaryFolder;

const std::string kEval = "eval " + kBenchData + "/conversations.jsonl --engine fake -q ";

// The cells without the time they took, read with the store's own configuration.
std::vector<eval::Cell> cells_of(const std::filesystem::path& folder) {
  const auto summary = testing::json_of(testing::read_file(folder / "summary.json"));
  auto store = eval::RunStore::open(folder, summary["configuration"]);
  EXPECT_TRUE(store.ok());
  auto cells = store->cells().value();
  for (auto& cell : cells) cell.seconds = 0;
  return cells;
}

// The committed analysis, fixed for the fake engine; `change` is merged into it.
std::string analysis_file(const TemporaryFolder& folder, const Json& change = Json::object()) {
  auto plan = testing::json_of(testing::read_file(kBenchData + "/analysis.json"));
  plan["model"] = "fake";
  plan.merge_patch(change);
  std::ofstream(folder / "analysis.json") << plan.dump();
  return (folder / "analysis.json").string();
}

TEST(Eval, PrintsASummaryAndTakesUpWhereItStopped) {
  const TemporaryFolder folder;
  const auto command = kEval + "--conversations 3 --conditions semantic,sequential --analysis " +
                       analysis_file(folder) + " --out " + (folder / "run").string();
  const auto table = run_program(folder.path(), command);
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_NE(table.out.find("semantic"), std::string::npos) << table.out;
  const auto again = run_program(folder.path(), command + " --json");
  ASSERT_EQ(again.code, 0) << again.err;
  const auto json = testing::json_of(again.out);
  EXPECT_EQ(json["schema"], "bulkhead-eval-1");
  EXPECT_TRUE(json["complete"].get<bool>());
  EXPECT_EQ(json["conditions"].size(), 2U);
  EXPECT_EQ(json["analysis"]["hypotheses"][0]["comparison"]["conversations"], 3);
  EXPECT_EQ(json["analysis"]["hypotheses"][1]["outcome"], "not measured") << "regrouped was not run";
  EXPECT_EQ(json["cells"], cells_of(folder / "run").size());
  const auto& made = json["made"];
  EXPECT_EQ(made["model"]["name"], "fake");
  EXPECT_EQ(made["dataset"]["conversations"], 120);
  EXPECT_EQ(made["command"].back(), "--json");
  EXPECT_GT(made["peak_rss_bytes"].get<std::uint64_t>(), 0U);
  EXPECT_FALSE(made["bulkhead"]["commit"].get<std::string>().empty());
}

TEST(Eval, GoesOnWithTheClockItBeganWith) {
  const TemporaryFolder folder;
  const auto command = kEval + "--conversations 1 --kinds own --conditions semantic --out " + (folder / "run").string();
  const auto clock = [&] {
    return testing::json_of(testing::read_file(folder / "run" / "summary.json"))["configuration"]["clock"];
  };
  ASSERT_EQ(run_program(folder.path(), command + " --clock 2024-02-29T08:00:00").code, 0);
  EXPECT_EQ(clock(), "2024-02-29T08:00:00");
  const auto today = run_program(folder.path(), command);
  EXPECT_EQ(today.code, 0) << today.err;
  EXPECT_EQ(clock(), "2024-02-29T08:00:00");
  const auto other = run_program(folder.path(), command + " --clock 2024-03-01");
  EXPECT_EQ(other.code, 3);
  EXPECT_NE(other.err.find("clock is \"2024-02-29T08:00:00\" there and \"2024-03-01T00:00:00\" here"),
            std::string::npos)
      << other.err;
}

TEST(Eval, RefusesWithTheCodeOfTheFault) {
  const TemporaryFolder folder;
  const auto run = " --out " + (folder / "run").string();
  EXPECT_EQ(run_program(folder.path(), kEval + run + " --conditions random").code, 2);
  EXPECT_EQ(run_program(folder.path(), kEval + run + " --kinds all").code, 2);
  EXPECT_EQ(run_program(folder.path(), kEval + run + " --kinds output").code, 2) << "of no length";
  const auto unread = run_program(folder.path(), "eval none.jsonl --engine fake -q" + run + " --conditions random");
  EXPECT_EQ(unread.code, 2) << "found before anything is read or loaded";
  EXPECT_NE(unread.err.find("there is no condition \"random\""), std::string::npos) << unread.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
  EXPECT_EQ(run_program(folder.path(), kEval).code, 2) << "no folder";
  EXPECT_EQ(run_program(folder.path(), "eval none.jsonl --engine fake -q" + run).code, 3);
  EXPECT_EQ(run_program(folder.path(), kEval + run + " --analysis none.json").code, 3);
  ASSERT_EQ(run_program(folder.path(), kEval + run + " --conversations 1 --kinds own").code, 0);
  const auto other = run_program(folder.path(), kEval + run + " --conversations 1 --seed 2");
  EXPECT_EQ(other.code, 3);
  EXPECT_NE(other.err.find("seed is 1 there and 2 here"), std::string::npos) << other.err;
  std::ofstream(folder / "run" / "cells.sqlite") << std::string(4096, 'x');
  EXPECT_EQ(run_program(folder.path(), kEval + run + " --conversations 1").code, 4);
}

// Before the model is read, and before the folder is made.
TEST(Eval, RefusesAnAnalysisOfAnotherDataSetOrModel) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& options, const std::string& analysis) {
    const auto ended =
        run_program(folder.path(), "eval " + kBenchData + "/conversations.jsonl -q " + options + " --out " +
                                       (folder / "run").string() + " --analysis " + analysis);
    EXPECT_EQ(ended.code, 2) << ended.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "run"));
    return ended.err;
  };
  const auto model = refusal("--engine fake", kBenchData + "/analysis.json");
  EXPECT_NE(model.find("the model qwen2.5-coder-0.5b; this evaluation has fake"), std::string::npos) << model;
  const auto data = refusal("--engine fake", analysis_file(folder, {{"dataset_sha256", "12ab"}}));
  EXPECT_NE(data.find("the data set 12ab; this evaluation has 5c6c74ba"), std::string::npos) << data;
  std::ofstream(folder / "other.gguf") << "no model: it would be refused with 4 if it were read";
  const auto file = refusal("-m " + (folder / "other.gguf").string(), kBenchData + "/analysis.json");
  EXPECT_NE(file.find("the model qwen2.5-coder-0.5b; this evaluation has other.gguf"), std::string::npos) << file;
  const auto name = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";
  std::ofstream(folder / name) << "the name alone makes no model";
  const auto sum = refusal("-m " + (folder / name).string(), kBenchData + "/analysis.json");
  EXPECT_NE(sum.find("the model of SHA-256 1d961463"), std::string::npos) << sum;
}

// A shell has SIGINT ignored in what it starts in the background, SIGTERM not: a thread that takes the signal away
// from the one that waits for it shows in the first as a program that goes on, in the second as one that is killed.
TEST(Eval, StoppedBySignalItKeepsItsCellsAndSaysSo) {
  for (const auto& [signal, code] : {std::pair{"INT", 130}, {"TERM", 143}}) {
    SCOPED_TRACE(signal);
    const TemporaryFolder folder;
    const auto run = folder / "run";
    const auto stopped = testing::run_program_and_interrupt(
        folder.path(), "eval " + kBenchData + "/conversations.jsonl --engine fake --out " + run.string(), "cells of",
        signal);
    EXPECT_EQ(stopped.code, code) << stopped.err;
    EXPECT_NE(stopped.err.find("goes on from here"), std::string::npos) << stopped.err;
    EXPECT_FALSE(testing::json_of(testing::read_file(run / "summary.json"))["complete"].get<bool>());
  }
}

// Before it has anything to keep, it is as easy to end as any program: here it waits for its data.
TEST(Eval, ASignalBeforeAnyWorkEndsIt) {
  for (const std::string signal : {"TERM", "HUP"}) {
    const TemporaryFolder folder;
    const auto pipe = (folder / "pipe").string();
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    const auto line = testing::program() + " eval " + pipe + " --engine fake --out " + (folder / "run").string() +
                      " & sleep 0.3; kill -" + signal + " $!; wait $!";
    const int status = std::system(line.c_str());
    EXPECT_EQ(WEXITSTATUS(status), signal == "TERM" ? 143 : 129);
  }
}

// SIGKILL at random moments, until the program ends by itself.
TEST(Eval, KilledAtRandomMomentsItEndsWithTheSameCells) {
  const TemporaryFolder folder;
  // Few resamples: what is killed is to be the work on cells.
  const auto analysis = analysis_file(folder, {{"resamples", 200}, {"draws", 1000}});
  const auto arguments = [&](const char* name) {
    return std::vector<std::string>{testing::program(),
                                    "eval",
                                    kBenchData + "/conversations.jsonl",
                                    "--engine",
                                    "fake",
                                    "-q",
                                    "--conversations",
                                    "8",
                                    "--outputs",
                                    "8",
                                    "--analysis",
                                    analysis,
                                    "--clock",
                                    "2026-01-02T03:04:05",
                                    "--out",
                                    (folder / name).string()};
  };
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(subprocess::run_child({.arguments = arguments("whole")}, {}, {})->exit_code, 0);
  const auto whole_ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  std::mt19937 random(std::random_device{}());
  auto most = static_cast<unsigned>(std::max<std::int64_t>(40, whole_ms.count() / 3));
  int kills = 0;
  int code = 137;
  while (code == 137 && kills < 500) {
    auto child = subprocess::ChildProcess::start({.arguments = arguments("killed")});
    ASSERT_TRUE(child.ok());
    const auto patience = std::chrono::milliseconds(kills < 200 ? random() % most : 60'000);
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline && !child->exit_code()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (!child->exit_code()) {
      child->kill();
      ++kills;
    }
    code = child->end(std::chrono::seconds(10));
    // The machine was busier while the whole was timed: once more, killed sooner.
    if (code == 0 && kills < 3 && most > 1) {
      std::filesystem::remove_all(folder / "killed");
      most = std::max(1U, most / 4);
      kills = 0;
      code = 137;
    }
  }
  EXPECT_EQ(code, 0);
  EXPECT_GE(kills, 3) << "it was over before it could be killed";
  const auto whole = cells_of(folder / "whole");
  EXPECT_GT(whole.size(), 500U);
  EXPECT_TRUE(std::any_of(whole.begin(), whole.end(), [](const auto& cell) { return cell.output.has_value(); }));
  EXPECT_EQ(cells_of(folder / "killed"), whole);
  const auto summary = [&](const char* name) {
    auto json = testing::json_of(testing::read_file(folder / name / "summary.json"));
    json.erase("made");
    for (auto& condition : json["conditions"]) {
      condition.erase("item_seconds");
      for (auto& one : condition["facets"]) one.erase("item_seconds");
    }
    return json;
  };
  EXPECT_EQ(summary("killed"), summary("whole"));
}

}  // namespace
}  // namespace bulkhead
