// SPDX-License-Identifier: MIT
// What the program says may be lost, on stdout and on stderr: no work ends for it, and lost data is exit code 5. Every
// command of the program and every command line of README.md, docs/quickstart.md and docs/running.md is run so; a new
// command fails here until it is in the table.
#include "base/json.h"
#include "cli/real_program.h"
#include "paths.h"
#include "temporary_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead {
namespace {

using testing::kScenario;
using testing::read_file;
using testing::run_program;
using testing::TemporaryFolder;

const std::string kSource = testing::source_folder();

// One command line, cheap on the fake engine. OUT is a folder of its own for each time it is run, RUN and EVAL are a
// finished run and evaluation, VAULT is a vault without images.
struct Line {
  std::string arguments;
  int code = 0;
};

const std::string kBench = kSource + "/datasets/bulkhead-bench/conversations.jsonl";

std::map<std::string, std::vector<Line>> lines_of_commands() {
  const std::string run = kScenario + " --engine fake -n 4 --out OUT";
  return {
      {"--help", {{""}}},
      {"--version", {{""}}},
      {"run", {{run}, {run + " --json"}, {run + " -o csv"}, {run + " -o md -v"}, {"--help"}, {run + " --temp hot", 2}}},
      {"compare",
       {{kScenario + " --on fake --on fake -n 4 --out OUT"},
        {kScenario + " --on fake --on fake -n 4 --json --out OUT"}}},
      {"plan", {{kScenario + " --engine fake"}, {kScenario + " --engine fake --json"}}},
      {"validate", {{kScenario}, {kScenario + " --json"}, {"/nowhere.json --json", 3}}},
      {"pull", {{"no-such-model", 2}}},
      {"models", {{""}, {"--json"}}},
      {"doctor", {{""}, {"--json"}}},
      {"chat", {{"--engine fake -n 4 </dev/null"}}},
      {"convert", {{"no-such-model OUT", 2}}},
      {"report", {{"RUN"}, {"RUN --json"}, {"EVAL -o csv"}}},
      {"verify", {{"--engine fake --traces 20 --secrets 2"}, {"RUN --json"}}},
      {"eval", {{kBench + " --engine fake --conversations 1 --conditions semantic,sequential --out OUT"}}},
      {"judge", {{"EVAL " + kBench + " --engine fake"}, {"EVAL " + kBench + " --engine fake --json"}}},
      {"cache",
       {{"ls --cache-dir VAULT"},
        {"ls --cache-dir VAULT --json"},
        {"ls --cache-dir OUT --json", 3},
        {"show 0123456 --cache-dir VAULT", 3},
        {"show 0123 --cache-dir VAULT --json", 2},
        {"verify --cache-dir VAULT"},
        {"verify --cache-dir VAULT --json"},
        {"gc --cache-dir VAULT"},
        {"gc --cache-dir OUT --cache-disk 10 --json"},
        {"rm 0123456 --cache-dir VAULT --json", 3},
        {"export 0123456 OUT --cache-dir VAULT", 3},
        {"import OUT --cache-dir VAULT --json", 3},
        {"--help"},
        {"", 2}}},
      {"serve",
       {{"--engine fake --host /nowhere/bulkhead.sock", 5}, {"--engine fake --json --host /nowhere/a.sock", 5}}},
      {"completion", {{"bash"}, {"zsh"}, {"fish"}}},
  };
}

// The commands as the program lists them for a shell.
std::set<std::string> commands(const TemporaryFolder& folder) {
  const auto script = run_program(folder.path(), "completion bash").out;
  const auto begin = script.find("*) words='");
  std::istringstream words(script.substr(begin + 10, script.find('\'', begin + 10) - begin - 10));
  std::set<std::string> found;
  for (std::string word; words >> word;) {
    if (word != "-h") found.insert(word);
  }
  return found;
}

class Output : public ::testing::Test {
 protected:
  void SetUp() override {
    // The write end of a pipe that nobody reads, as descriptor 9 of every shell.
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    ASSERT_EQ(::dup2(ends[1], 9), 9);
    ::close(ends[0]);
    ::close(ends[1]);
    run_ = (folder_ / "finished").string();
    ASSERT_EQ(run_program(folder_.path(), "run " + kScenario + " --engine fake -n 4 -q --out " + run_).code, 0);
    eval_ = (folder_ / "evaluated").string();
    const auto evaluated =
        run_program(folder_.path(), "eval " + kBench +
                                        " --engine fake --conversations 1 --conditions semantic,sequential --outputs 4"
                                        " -q --out " +
                                        eval_);
    ASSERT_EQ(evaluated.code, 0) << evaluated.err;
    vault_ = (folder_ / "vault").string();
    ASSERT_EQ(run_program(folder_.path(), "cache gc --cache-dir " + vault_).code, 0);
  }
  void TearDown() override { ::close(9); }

  std::string filled(std::string arguments) {
    out_ = (folder_ / ("out" + std::to_string(++count_))).string();
    for (const auto& [word, path] :
         {std::pair<std::string, std::string>{"OUT", out_}, {"RUN", run_}, {"EVAL", eval_}, {"VAULT", vault_}}) {
      arguments = std::regex_replace(arguments, std::regex("\\b" + word + "\\b"), path);
    }
    return arguments;
  }

  // Without models, caches or a network of this machine, and never for long.
  int code_of(const std::string& arguments, const std::string& redirection) {
    const auto line = "cd " + folder_.path().string() +
                      "; HF_HUB_OFFLINE=1 BULKHEAD_MODELS=" + folder_.path().string() + "/models timeout 120 " +
                      testing::program() + " " + filled(arguments) + " " + redirection;
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  // The line ends with `code` wherever its outputs go, and with 5 where it has data and they are lost.
  void expect_bears_losses(const std::string& arguments, int code) {
    const auto said = (folder_ / "said").string();
    ASSERT_EQ(code_of(arguments, ">" + said + " 2>/dev/null"), code) << arguments;
    const bool lossless = read_file(said).empty() || code != 0;
    for (const auto* closed : {"2>/dev/full", "2>&-", "2>&9", "<&- 2>&-"}) {
      EXPECT_EQ(code_of(arguments, std::string(">/dev/null ") + closed), code) << arguments << " " << closed;
      expect_results(arguments, code);
    }
    for (const auto* closed : {">/dev/full", ">&-", ">&9"}) {
      EXPECT_EQ(code_of(arguments, std::string(closed) + " 2>/dev/null"), lossless ? code : 5)
          << arguments << " " << closed;
      expect_results(arguments, code);
    }
    EXPECT_EQ(code_of(arguments, ">&- 2>&- <&-"), lossless ? code : 5) << arguments << " all closed";
    expect_results(arguments, code);
  }

  // What a run is for is there in any case, and nothing of what was said went into it.
  void expect_results(const std::string& arguments, int code) {
    if (code != 0 || !arguments.starts_with("run ") || arguments.find("OUT") == std::string::npos) return;
    for (const auto* name : {"results.json", "manifest.json"}) {
      EXPECT_TRUE(parse_json(read_file(out_ + "/" + name)).ok()) << arguments << " " << name;
    }
    EXPECT_FALSE(read_file(out_ + "/report.html").empty()) << arguments;
  }

  // Every command line of a page, at least so many of them; a line that ends with \ goes on in the next one.
  void expect_page_bears_losses(const std::string& page, std::size_t least) {
    std::istringstream text(read_file(kSource + "/" + page));
    std::set<std::string> lines;
    for (std::string line; std::getline(text, line);) {
      if (!line.starts_with("bulkhead ")) continue;
      for (std::string rest; line.ends_with("\\") && std::getline(text, rest);) {
        line.pop_back();
        line += rest;
      }
      lines.insert(small(line.substr(9, line.find('#') == std::string::npos ? std::string::npos : line.find('#') - 9)));
    }
    EXPECT_GE(lines.size(), least) << page;
    for (const auto& line : lines) {
      const bool finds_a_defect = line.find("mutant:") != std::string::npos;
      expect_bears_losses(line, line.starts_with("pull") ? 6 : finds_a_defect ? 7 : 0);
    }
  }

  // The same command and flags on the fake engine, as small as they are of use here.
  static std::string small(std::string line) {
    const std::pair<std::string, std::string> changes[] = {
        {" --engine (transformers|mlx)", ""},
        {" -hf \\S+", ""},
        {"--on llama:\\S+ +--on transformers:\\S+", "--on fake --on fake"},
        {" -m (?!mutant:)\\S+", " --engine fake"},
        {"^((run|plan|eval)(?!.*--engine).*)", "$1 --engine fake"},
        {"^(run|plan|validate)(.*)scenarios/\\S+", "$1$2" + kScenario},
        {"^compare scenarios/\\S+", "compare " + kScenario},
        {" bees\\.json", " " + kScenario},
        {"datasets/\\S+", kBench},
        {"^pull \\S+", "pull -hf user/repo"},  // no network, and no package index either
        {"-n 32", "-n 4"},
        {"--repeat 5", "--repeat 2"},
        {"--quick", "--quick --traces 20 --secrets 2"},
        {"^((run|compare|eval)(?!.*--out).*)", "$1 --out OUT"},
        {"^((run|eval).*) --out runs/\\S+", "$1 --out OUT"},
        {"^eval", "eval --conversations 1 --conditions semantic,sequential"},
        {"^judge runs/\\S+", "judge EVAL"},
        {"runs/\\S+", "RUN"},
    };
    for (const auto& [from, to] : changes) line = std::regex_replace(line, std::regex(from), to);
    return line;
  }

  TemporaryFolder folder_;
  std::string run_;
  std::string eval_;
  std::string vault_;
  std::string out_;
  int count_ = 0;
};

TEST_F(Output, EveryCommandBearsTheLossOfWhatItSays) {
  const auto lines = lines_of_commands();
  const auto known = commands(folder_);
  EXPECT_GE(known.size(), 15U);
  for (const auto& name : known) {
    const auto found = lines.find(name);
    ASSERT_NE(found, lines.end()) << name << " is a command or flag that this test does not run";
    for (const auto& line : found->second) expect_bears_losses(name + " " + line.arguments, line.code);
  }
}

TEST_F(Output, EveryLineOfTheReadmeBearsTheLossOfWhatItSays) {
  expect_page_bears_losses("README.md", 3);
}

TEST_F(Output, EveryLineOfTheQuickstartBearsTheLossOfWhatItSays) {
  expect_page_bears_losses("docs/quickstart.md", 5);
}

TEST_F(Output, EveryLineOfRunningBearsTheLossOfWhatItSays) {
  expect_page_bears_losses("docs/running.md", 12);
}

// The terminal closes: what is finished stays, as after Ctrl-C.
TEST_F(Output, AClosedTerminalKeepsWhatIsFinished) {
  const auto start = "run " + kScenario + " --engine fake --repeat 10000 -n 64 -q --out OUT";
  const auto send = [&](const std::string& before, const std::string& signals) {
    const auto command = filled(start);
    const auto line = "o=" + out_ + "/results.json; " + before + testing::program() + " " + command +
                      " >/dev/full 2>/dev/null & for i in $(seq 600); do test -e \"$o\" && break; sleep 0.1; done; " +
                      signals + " wait $!";
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  };
  EXPECT_EQ(send("", "kill -HUP $!; kill -HUP $!;"), 129);
  const auto results = parse_json(read_file(out_ + "/results.json"));
  ASSERT_TRUE(results.ok());
  EXPECT_FALSE((*results)["complete"].get<bool>());
  EXPECT_FALSE((*results)["runs"].empty());
  EXPECT_FALSE(read_file(out_ + "/report.md").empty());
  // Under nohup it goes on: three more writes come, and SIGTERM is the first signal that it hears.
  const std::string grows =
      "for k in 1 2 3; do n=$(stat -c %s \"$o\"); for i in $(seq 600); do"
      " test \"$(stat -c %s \"$o\")\" -gt $n && break; sleep 0.1; done; done; ";
  EXPECT_EQ(send("nohup ", "kill -HUP $!; " + grows + "kill -TERM $!;"), 143);
}

}  // namespace
}  // namespace bulkhead
