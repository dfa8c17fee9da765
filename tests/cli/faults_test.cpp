// SPDX-License-Identifier: MIT
// Walks the table of faults of docs/exit-codes.md with the real program.
#include "base/json.h"
#include "base/utf8.h"
#include "cli/real_program.h"
#include "engines/tiny_model.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::testing {
namespace {

class Faults : public ::testing::Test {
 protected:
  Outcome run(const std::string& arguments, const std::string& before = {}) {
    return run_program(folder_.path(), arguments, before);
  }

  std::string write(const std::string& name, const std::string& text) {
    const auto path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }

  // A scenario of two clusters; `change` replaces `from` by `to` in it.
  std::string scenario(const std::string& from = "", const std::string& to = "") {
    std::string text = R"({"id": "s", "domain": "d",
 "semantic_clusters": {
  "cluster_1": {"task_type": "one", "turns": [1, 2], "terminology": ["pump"]},
  "cluster_2": {"task_type": "two", "turns": [3], "terminology": ["budget"], "depends_on": ["cluster_1"]}
 },
 "turns": [
  {"turn_id": 1, "cluster": 1, "role": "user", "type": "instruction", "instruction": "Look at the pump."},
  {"turn_id": 2, "cluster": 1, "role": "user", "type": "context", "content": "It leaks."},
  {"turn_id": 3, "cluster": 2, "role": "user", "type": "context", "content": "The budget is spent."}
 ]})";
    if (!from.empty()) {
      const auto at = text.find(from);
      EXPECT_NE(at, std::string::npos) << from;
      text.replace(at, from.size(), to);
    }
    return write("scenario.json", text);
  }

  TemporaryFolder folder_;
};

TEST_F(Faults, UsageIsTwo) {
  EXPECT_EQ(run("run --no-such-flag").code, 2);
  EXPECT_EQ(run("no-such-command").code, 2);
  EXPECT_EQ(run("").code, 2);
  EXPECT_EQ(run("run " + kScenario + " --temp hot").code, 2);
  EXPECT_EQ(run("run " + kScenario + " -ctk q3").code, 2);
  EXPECT_EQ(run("plan " + kScenario + " --engine fake --clock yesterday").code, 2);
  EXPECT_EQ(run("run " + kScenario + " -m no-such-model --out " + (folder_.path() / "r").string()).code, 2);
  EXPECT_EQ(run("run " + kScenario + " -m /no/such/file.gguf --out " + (folder_.path() / "r").string()).code, 2);
  EXPECT_EQ(run("plan " + kScenario + " --engine fake --format no-such-format").code, 2);
  EXPECT_EQ(run("plan " + kScenario + " --engine fake --conditions no-such-condition").code, 2);
  EXPECT_EQ(run("plan " + kScenario + " --engine no-such-engine -m /etc/hostname").code, 2);
  EXPECT_EQ(run("convert no-such-model " + (folder_.path() / "c").string()).code, 2);
  EXPECT_EQ(run("convert /etc/hostname " + (folder_.path() / "c").string() + " --only gguf,nothing").code, 2);
}

// Before anything is loaded: no file of the name is there, and that is not what is complained of.
TEST_F(Faults, NumbersOutOfBoundsAreTwoBeforeAnythingIsLoaded) {
  const std::pair<const char*, const char*> cases[] = {
      {"--temp nan", "temperature is nan"},
      {"--temp inf", "temperature is inf"},
      {"--temp -- -inf", ""},
      {"--temp 1e9", "temperature is"},
      {"--top-p 0", "top_p is 0"},
      {"--top-p -0.1", "top_p is"},
      {"--top-p 1.01", "top_p is"},
      {"--top-p nan", "top_p is nan"},
      {"--min-p 1.5", "min_p is"},
      {"--min-p nan", "min_p is nan"},
      {"--top-k -1", "top_k is -1"},
      {"--top-k 99999999999", "top_k is"},
      {"--top-k 1.5", "--top-k"},
      {"--repeat-penalty 0", "repeat_penalty is 0"},
      {"--repeat-penalty nan", "repeat_penalty is nan"},
      {"--repeat-penalty 1e-38", "repeat_penalty is"},
      {"--repeat-last-n -2", "repeat_last_n is"},
      {"-n 0", "--predict"},
      {"-n -1", "--predict"},
      {"-n 99999999999999999999", "--predict"},
      {"-t -1", "threads is"},
      {"-t 100000", "threads is 100000"},
      {"-c 4294967295", "context_tokens is"},
      {"-c -1", "context_tokens is"},
      {"-ngl -2", "gpu_layers is"},
      {"-s -1", "--seed"},
      {"-s 4294967296", "--seed"},
      {"--repeat 0", "--repeat"},
      {"--parallel 0", "--parallel"},
  };
  const auto out = (folder_.path() / "r").string();
  for (const auto& [flags, words] : cases) {
    const auto outcome = run("run " + kScenario + " -m /no/such/file.gguf --out " + out + " " + flags);
    EXPECT_EQ(outcome.code, 2) << flags << ": " << outcome.err;
    EXPECT_NE(outcome.err.find(words), std::string::npos) << flags << ": " << outcome.err;
    EXPECT_EQ(outcome.err.find("/no/such/file.gguf"), std::string::npos) << flags << ": " << outcome.err;
  }
  EXPECT_FALSE(std::filesystem::exists(out)) << "refused before the run folder is made";
}

TEST_F(Faults, CommandsAndFlagsThatThereAreNotGetASuggestion) {
  const std::pair<const char*, const char*> cases[] = {
      {"rum", "unknown command \"rum\" (did you mean run?)"},
      {"verfiy", "did you mean verify?"},
      {"model", "did you mean models?"},
      {"frobnicate", "there are run, compare, plan"},
      {"run x.json --tmep 1", "unknown flag --tmep (did you mean --temp?)"},
      {"run x.json --ouput=md", "unknown flag --ouput (did you mean --output?)"},
      {"run x.json --xyzzy-plugh", "see bulkhead run --help"},
      {"models --jsno", "did you mean --json?"},
      {"models extra words", "unexpected arguments: extra words"},
      {"--versoin", "did you mean --version?"},
  };
  for (const auto& [line, words] : cases) {
    const auto outcome = run(line);
    EXPECT_EQ(outcome.code, 2) << line;
    EXPECT_NE(outcome.err.find(words), std::string::npos) << line << ": " << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
  EXPECT_EQ(run("worke").err.find("worker"), std::string::npos) << "hidden commands are not spoken of";
}

TEST_F(Faults, DeepOrCutDocumentsAreRefusedAndNoCrash) {
  const auto deep = std::string(100'000, '[');
  EXPECT_EQ(run("validate " + write("deep.json", deep + std::string(100'000, ']'))).code, 3);
  EXPECT_EQ(run("validate " + write("half.json", deep)).code, 3);
  EXPECT_EQ(run("plan " + kScenario + " --engine fake --format " + write("format.json", deep)).code, 3);
  EXPECT_EQ(
      run("eval " + write("set.jsonl", deep + "\n") + " --engine fake --out " + (folder_.path() / "e").string()).code,
      3);
  std::filesystem::create_directory(folder_.path() / "run");
  write("run/results.json", deep);
  EXPECT_EQ(run("report " + (folder_.path() / "run").string()).code, 4);
  write("run/transcript.jsonl", deep + "\n");
  EXPECT_EQ(run("verify " + (folder_.path() / "run").string()).code, 4) << "no manifest names these documents";
  EXPECT_EQ(run("verify --engine fake --trace " + write("trace.json", deep)).code, 3);
  const auto nul = scenario();
  write("nul.json", read_file(nul) + std::string(1, '\0') + "{\"more\": 1}");
  EXPECT_EQ(run("validate " + (folder_.path() / "nul.json").string()).code, 3);
}

// Everything is there at the end, also what is called by bytes that are no text.
TEST_F(Faults, NamesThatAreNoUtf8AreNoFault) {
  const auto folder = folder_.path() / "n\xffme";
  std::filesystem::create_directory(folder);
  const auto file = (folder / "sc\xe9nario.json").string();
  std::filesystem::copy_file(scenario(), file);
  const auto out = (folder / "r\xfcn").string();
  const auto ran = run("run " + file + " --engine fake -n 4 --json --out " + out);
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(parse_json(ran.out).ok());
  const auto manifest = parse_json(read_file(out + "/manifest.json"));
  ASSERT_TRUE(manifest.ok()) << manifest.error().to_string();
  EXPECT_EQ(unescape_bytes((*manifest)["scenarios"][0]["path"].get<std::string>()), file);
  EXPECT_EQ(unescape_bytes((*manifest)["command"].back().get<std::string>()), out);
  EXPECT_TRUE(parse_json(read_file(out + "/results.json")).ok());
  EXPECT_EQ(run("report " + out).code, 0);
  EXPECT_EQ(run("verify " + out).code, 0);
  EXPECT_EQ(run("validate " + file + " --json").code, 0);
  EXPECT_EQ(run("eval " + file + " --engine fake --outputs 4 --out " + (folder / "eval").string()).code, 3)
      << "a scenario without answers has nothing to be measured by";
  EXPECT_EQ(run("compare " + file + " --on fake --on fake -n 4 --out " + (folder / "both").string()).code, 0);
  EXPECT_EQ(run("compare " + file + " --on fake --on fake -n 4 --out " + (folder / "both").string()).code, 0);
  const auto missing = run("validate " + (folder / "missing").string() + " --json");
  EXPECT_EQ(missing.code, 3);
  EXPECT_TRUE(parse_json(missing.out).ok()) << missing.out;
  EXPECT_FALSE(first_invalid_utf8(missing.err).has_value()) << missing.err;
  EXPECT_EQ(run("plan " + kScenario + " -m " + (folder / "none").string()).code, 2);
  EXPECT_EQ(run("plan " + kScenario + " --engine fake --format n\xffne").code, 2);
}

bool steers(const std::string& text) {
  const auto control = [](unsigned char c) { return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F; };
  return std::any_of(text.begin(), text.end(), control) || text.find("\xC2\x9B") != std::string::npos ||
         text.find("\xE2\x80\xAE") != std::string::npos;
}

const std::string kEscaped = R"(\u001b[2J\u009b31m\u202e\u0007)";  // as JSON

TEST_F(Faults, NamesAndTextsOfADocumentSteerNoTerminal) {
  auto text = read_file(scenario());
  for (const std::string& name :
       std::vector<std::string>{"\"domain\": \"d", "\"task_type\": \"one", "It leaks.", "[\"pump"}) {
    const auto at = text.find(name);
    ASSERT_NE(at, std::string::npos) << name;
    text.insert(at + name.size(), kEscaped);
  }
  const auto file = write("scenario.json", text);
  const auto out = (folder_.path() / "run").string();
  for (const auto& arguments :
       {"validate " + file, "plan " + file + " --engine fake", "run " + file + " --engine fake -n 4 -v --out " + out,
        "report -o md " + out, "report " + out, "verify " + out,
        "run " + file + " --engine fake -n 4 -v --json --out " + out + "2"}) {
    const auto outcome = run(arguments);
    EXPECT_EQ(outcome.code, 0) << arguments << outcome.err;
    EXPECT_FALSE(steers(outcome.out)) << arguments << outcome.out;
    EXPECT_FALSE(steers(outcome.err)) << arguments << outcome.err;
  }
  text.insert(text.rfind('}'), ", \"x" + kEscaped + "\": 1");
  write("scenario.json", text);
  for (const auto& arguments :
       {"validate " + file, "plan " + file + " --engine fake", "run " + file + " --engine fake --out " + out + "3"}) {
    const auto outcome = run(arguments);
    EXPECT_EQ(outcome.code, 3) << arguments;
    EXPECT_NE(outcome.err.find("x\\u001b[2J\\u009b31m\\u202e\\u0007"), std::string::npos) << outcome.err;
    EXPECT_FALSE(steers(outcome.err)) << outcome.err;
  }
}

TEST_F(Faults, ArgumentsAndVariablesSteerNoTerminal) {
  const std::string raw =
      "'\x1b[2J\xC2\x9B"
      "31m\xE2\x80\xAE\r\nbulkhead: forged\x07'";
  for (const auto& line :
       std::vector<std::string>{"", "run x --", "run x --temp ", "run x -n ", "plan " + kScenario + " -m ",
                                "plan " + kScenario + " --engine ", "plan " + kScenario + " --engine fake --format ",
                                "pull ", "report ", "validate ", "verify --engine ", "eval x --out=", "completion "}) {
    const auto outcome = run(line + raw);
    EXPECT_NE(outcome.code, 0) << line;
    EXPECT_LT(outcome.code, 128) << line;
    EXPECT_FALSE(steers(outcome.err)) << line << outcome.err;
    EXPECT_EQ(outcome.err.find("\nbulkhead: forged"), std::string::npos) << line << outcome.err;
  }
  for (const auto* variable : {"LLAMA_ARG_MODEL", "BULKHEAD_MODELS", "HOME", "XDG_CACHE_HOME", "HF_ENDPOINT"}) {
    for (const auto& line :
         std::vector<std::string>{"plan " + kScenario, "models", "models --json", "pull -hf user/repo"}) {
      const auto outcome = run(line, std::string("HF_HUB_OFFLINE=1 ") + variable + "=" + raw);
      EXPECT_LT(outcome.code, 128) << variable << " " << line;
      EXPECT_FALSE(steers(outcome.out)) << variable << " " << line << outcome.out;
      EXPECT_FALSE(steers(outcome.err)) << variable << " " << line << outcome.err;
    }
  }
}

TEST_F(Faults, SecretsAreNotSaid) {
  const std::string before = "HF_TOKEN=hf_topsecret HF_ENDPOINT=http://someone:hunter2@127.0.0.1:1 BULKHEAD_MODELS=" +
                             (folder_.path() / "models").string() + " timeout 100";
  const auto out = (folder_.path() / "run").string();
  for (const auto& line : std::vector<std::string>{"--version", "models --json",
                                                   "run " + kScenario + " --engine fake -n 4 -v -v --json --out " + out,
                                                   "pull -hf user/repo -q", "plan " + kScenario + " -hf user/repo"}) {
    const auto outcome = run(line, before);
    for (const auto* secret : {"hf_topsecret", "hunter2"}) {
      EXPECT_EQ((outcome.out + outcome.err).find(secret), std::string::npos) << line << outcome.err;
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator(out)) {
    const auto text = read_file(entry.path());
    EXPECT_EQ(text.find("hf_topsecret"), std::string::npos) << entry.path();
    EXPECT_EQ(text.find("hunter2"), std::string::npos) << entry.path();
  }
}

TEST_F(Faults, VeryLongArgumentsAndVariablesAreNoCrash) {
  const std::string longest(100'000, 'x');
  EXPECT_EQ(run(longest).code, 2);
  EXPECT_EQ(run("run --" + longest).code, 2);
  EXPECT_EQ(run("validate " + longest).code, 3);
  EXPECT_EQ(run("plan " + kScenario + " --engine " + longest).code, 2);
  EXPECT_EQ(run("plan " + kScenario + " -m " + longest).code, 2);
  EXPECT_EQ(run("plan " + kScenario + " --engine fake --format " + longest).code, 2);
  EXPECT_EQ(run("plan " + kScenario + " --engine fake --conditions " + longest).code, 2);
  EXPECT_EQ(run("run " + kScenario + " --engine fake -n 4 --out " + longest).code, 5);
  EXPECT_EQ(run("report " + longest).code, 3);
  EXPECT_EQ(run("models", "HOME=" + longest).code, 0);
  EXPECT_EQ(run("models", "BULKHEAD_MODELS=" + longest).code, 0);
  EXPECT_EQ(run("models", "XDG_CACHE_HOME=$(printf 'a\\033\\377b')").code, 0);
  EXPECT_EQ(run("plan " + kScenario, "LLAMA_ARG_MODEL=" + longest).code, 2);
  EXPECT_EQ(run("models", "env -i").code, 0);
}

// Before the model's file is looked at.
TEST_F(Faults, StrictIsolationIsRefusedWhereOptionsForbidIt) {
  const auto model = write("model.gguf", "no model");
  for (const std::string flag : {"--grade mask", "--kernels stock", "-fa off"}) {
    const auto outcome = run("plan " + kScenario + " -m " + model + " --isolation strict " + flag);
    EXPECT_EQ(outcome.code, 2) << flag;
    EXPECT_NE(outcome.err.find("--isolation"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find(flag.substr(0, flag.find(' '))), std::string::npos) << outcome.err;
  }
}

TEST_F(Faults, UsageErrorsNameWhatIsKnown) {
  EXPECT_NE(run("plan " + kScenario + " --engine fake --format no-such-format").err.find("mlx-seed"),
            std::string::npos);
  EXPECT_NE(run("plan " + kScenario + " --engine fake --conditions nothing").err.find("turn_based"), std::string::npos);
  EXPECT_NE(
      run("run " + kScenario + " -m no-such-model --out " + (folder_.path() / "r").string()).err.find("bulkhead pull"),
      std::string::npos);
}

TEST_F(Faults, ModelFilesAreFour) {
  const auto text = write("model.gguf", "this is not a model, it is a sentence that is long enough");
  EXPECT_EQ(run("plan " + kScenario + " -m " + text).code, 4);
  const auto cut = write("cut.gguf", std::string("GGUF\x03\0\0\0\xff\0\0\0\0\0\0\0\xff\0\0\0\0\0\0\0", 24));
  EXPECT_EQ(run("plan " + kScenario + " -m " + cut).code, 4);
  EXPECT_EQ(run("convert " + text + " " + (folder_.path() / "c").string()).code, 4);
}

TEST_F(Faults, WhatLibllamaAssertsOfAModelFileIsFour) {
  const auto path = (folder_.path() / "bent.gguf").string();
  for (const auto* key : {"gemma3.expert_count", "gemma3.nextn_predict_layers"}) {
    ASSERT_TRUE(write_tiny_model(path, {}, [&](gguf_context* gguf) { gguf_set_val_u32(gguf, key, 7); }));
    EXPECT_EQ(run("plan " + kScenario + " -m " + path).code, 4) << key;
  }
}

TEST_F(Faults, PartsOfAModelMustLieTogether) {
  const auto first = write_split_tiny_model(folder_.path(), "m");
  const auto second = (folder_.path() / "m-00002-of-00002.gguf").string();
  EXPECT_EQ(run("plan " + kScenario + " -m " + first.string() + " --format raw").code, 0);
  EXPECT_EQ(run("plan " + kScenario + " -m " + second).code, 2);
  EXPECT_EQ(run("convert " + first.string() + " " + (folder_.path() / "c").string()).code, 2);
  std::filesystem::resize_file(second, 1000);
  EXPECT_EQ(run("plan " + kScenario + " -m " + first.string()).code, 4);
  std::filesystem::remove(second);
  EXPECT_EQ(run("plan " + kScenario + " -m " + first.string()).code, 2);
}

TEST_F(Faults, TemplatesThatBreakOrExceedALimitAreFourWhereAFormatUsesThem) {
  const auto model = (folder_.path() / "tiny.gguf").string();
  for (const std::string source : {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                                   "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{% if %}"}) {
    ASSERT_TRUE(write_tiny_model(model, {.chat_template = source}));
    const auto planned = run("plan " + scenario() + " -m " + model);
    EXPECT_EQ(planned.code, 4) << source << planned.err;
    EXPECT_NE(planned.err.find("chat template: the model's chat template is broken"), std::string::npos) << planned.err;
    EXPECT_EQ(run("plan " + scenario() + " -m " + model + " --format raw").code, 0) << source;
  }
}

// A split by topic makes a partition that the assistant begins.
TEST_F(Faults, ARefusingTemplateIsTwoAndNamesFileTurnAndCluster) {
  const auto model = (folder_.path() / "tiny.gguf").string();
  const std::string source =
      "{% if messages[0].role != 'user' %}{{ raise_exception('a user begins') }}{% endif %}"
      "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}";
  ASSERT_TRUE(write_tiny_model(model, {.chat_template = source}));
  const auto split = scenario("\"turn_id\": 3, \"cluster\": 2, \"role\": \"user\"",
                              "\"turn_id\": 3, \"cluster\": 2, \"role\": \"assistant\"");
  const auto taken = run("plan " + split + " -m " + model + " --conditions semantic");
  EXPECT_EQ(taken.code, 0) << taken.err;
  EXPECT_NE(taken.out.find("semantic/cluster_2: the user opens with \"Go on.\""), std::string::npos) << taken.out;
  const auto format = write("plain.json", R"({"name": "plain", "extends": "bulkhead", "opening_turn": null})");
  const auto refused = run("plan " + split + " -m " + model + " --conditions semantic --format " + format);
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("scenario.json, turn 3 (cluster cluster_2, assistant)"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("a user begins"), std::string::npos) << refused.err;
}

TEST_F(Faults, ConvertingWithoutTheWorkersNamesTheirScript) {
  const auto model = write("model.gguf", std::string("GGUF\x03\0\0\0\0\0\0\0", 12));
  const auto folder = folder_.path() / "converted";
  const auto outcome =
      run("convert " + model + " " + folder.string(), "BULKHEAD_WORKERS=" + (folder_.path() / "none").string());
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("scripts/install_workers.sh"), std::string::npos) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST_F(Faults, AWorkerThatDiesOrTalksRubbishIsSix) {
  const auto workers = folder_.path() / "workers";
  std::filesystem::create_directories(workers / "bin");
  std::ofstream(workers / ".complete").flush();
  const auto says = [&](const std::string& script) {
    std::ofstream(workers / "bin" / "python") << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(workers / "bin" / "python", std::filesystem::perms::owner_all);
    return run("plan " + kScenario + " --engine transformers -m " + workers.string(),
               "BULKHEAD_WORKERS=" + workers.string());
  };
  const auto rubbish = says("printf '>>> \\033[2J'; exec sleep 60");
  EXPECT_EQ(rubbish.code, 6) << rubbish.err;
  EXPECT_NE(rubbish.err.find("not the worker protocol"), std::string::npos) << rubbish.err;
  EXPECT_EQ(rubbish.err.find('\033'), std::string::npos) << "a child's escapes reach no terminal";
  const auto dead = says("printf 'no torch \\033[31m' >&2; exit 3");
  EXPECT_EQ(dead.code, 6) << dead.err;
  EXPECT_NE(dead.err.find("no torch"), std::string::npos) << dead.err;
  EXPECT_EQ(dead.err.find('\033'), std::string::npos);
  EXPECT_EQ(says("printf 'BHWP\\377\\377\\377\\377\\377\\377\\377\\377'; cat /dev/zero").code, 6) << "an endless frame";
}

TEST_F(Faults, ScenariosAreThreeAndNameLineAndField) {
  EXPECT_EQ(run("validate " + scenario()).code, 0);
  EXPECT_EQ(run("validate " + (folder_.path() / "missing.json").string()).code, 3);
  EXPECT_EQ(run("validate " + write("broken.json", "{\"id\": ")).code, 3);
  EXPECT_EQ(run("validate " + write("bytes.json", "{\"id\": \"\xff\"}")).code, 3);
  const std::pair<const char*, const char*> changes[] = {
      {"\"turn_id\": 2", "\"turn_id\": 1"},                                   // duplicate id
      {"\"cluster\": 2, \"role\"", "\"cluster\": 7, \"role\""},               // unknown cluster
      {"\"turns\": [3], \"terminology\"", "\"turns\": [], \"terminology\""},  // empty cluster
      {"It leaks.", ""},                                                      // empty turn
      {"\"turn_id\": 3", "\"turn_id\": \"three\""},                           // wrong type
      {"\"terminology\": [\"pump\"]", "\"terminology\": [\"pump\"], \"depends_on\": [\"cluster_2\"]"},  // cycle
      {"\"depends_on\": [\"cluster_1\"]", "\"depends_on\": [\"cluster_9\"]"},
  };
  for (const auto& [from, to] : changes) {
    const auto outcome = run("validate " + scenario(from, to));
    EXPECT_EQ(outcome.code, 3) << to;
    EXPECT_NE(outcome.err.find("scenario.json:"), std::string::npos) << outcome.err;
  }
}

TEST_F(Faults, TooLongIsFiveAndSaysByHowMuch) {
  const auto outcome = run("run " + kScenario + " --engine fake -c 512 --out " + (folder_.path() / "r").string());
  EXPECT_EQ(outcome.code, 5);
  EXPECT_NE(outcome.err.find("too many"), std::string::npos) << outcome.err;
}

TEST_F(Faults, UnwritableFolderIsFiveBeforeAnyWork) {
  const auto file = write("file", "x");
  const auto outcome = run("run " + kScenario + " --engine fake --out " + file + "/run");
  EXPECT_EQ(outcome.code, 5);
  EXPECT_TRUE(outcome.out.empty());
}

TEST_F(Faults, FullDiskKeepsTheOldResults) {
  const auto out = (folder_.path() / "run").string();
  ASSERT_EQ(run("run " + scenario() + " --engine fake -n 8 -q --out " + out).code, 0);
  const auto before = read_file(out + "/results.json");
  ASSERT_FALSE(before.empty());
  // 8 blocks of 1,024 bytes (512 in sh): far less than a results file.
  const auto outcome = run("run " + scenario() + " --engine fake -n 8 -s 7 -q --force --out " + out, "ulimit -f 2;");
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_EQ(read_file(out + "/results.json"), before);
}

TEST_F(Faults, DamagedResultsAreFour) {
  const auto out = folder_.path() / "run";
  ASSERT_EQ(run("run " + scenario() + " --engine fake -n 8 -q --out " + out.string()).code, 0);
  ASSERT_EQ(run("report -q " + out.string()).code, 0);
  std::filesystem::resize_file(out / "results.json", 200);
  EXPECT_EQ(run("report " + out.string()).code, 4);
  write("run/results.json", "{\"format_version\": 99}");
  EXPECT_EQ(run("report " + out.string()).code, 4);
}

TEST_F(Faults, ErrorsAreJsonOnRequest) {
  const auto outcome =
      run("run " + kScenario + " --engine fake -c 512 --json --out " + (folder_.path() / "r").string());
  EXPECT_EQ(outcome.code, 5);
  EXPECT_NE(outcome.out.find("\"exit_code\":5"), std::string::npos) << outcome.out;
}

TEST_F(Faults, OfflinePullIsSix) {
  const auto outcome =
      run("pull -hf somebody/something", "HF_HUB_OFFLINE=1 BULKHEAD_MODELS=" + (folder_.path() / "models").string());
  EXPECT_EQ(outcome.code, 6) << outcome.err;
}

class ModelFaults : public Faults {};

TEST_F(ModelFaults, TruncatedModelIsFour) {
  const auto model = model_file("gemma-3-270m-q4_k_m.gguf");
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is not there";
  std::ifstream file(model, std::ios::binary);
  std::string head(20U << 20U, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  const auto outcome = run("plan " + kScenario + " -m " + write("cut.gguf", head));
  EXPECT_EQ(outcome.code, 4) << outcome.err;
}

TEST_F(ModelFaults, ContextBeyondTheModelOrTheMemoryIsFive) {
  const auto model = model_file("gemma-3-270m-q4_k_m.gguf");
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is not there";
  const auto start = "run " + kScenario + " -m " + model + " --out " + (folder_.path() / "r").string();
  EXPECT_EQ(run(start + " -n 40000").code, 5);
  const auto memory = run(start + " -c 32768 -n 30000 --parallel 256", "ulimit -v 2000000;");
  EXPECT_EQ(memory.code, 5) << memory.err;
}

// The signal comes once (timeout(1) sends it twice, and a second one ends the program at once), and when the work is
// known to be under way.
TEST_F(ModelFaults, InterruptKeepsPartialResultsAndIs130) {
  const auto model = model_file("gemma-3-270m-q4_k_m.gguf");
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is not there";
  const auto out = folder_.path() / "run";
  const auto outcome = run_program_and_interrupt(
      folder_.path(), "run " + kScenario + " -m " + model + " -c 8192 -n 2000 --ignore-eos --out " + out.string(),
      "generate");
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_NE(read_file(out / "results.json").find("\"complete\": false"), std::string::npos);
  EXPECT_NE(read_file(out / "report.md").find("incomplete"), std::string::npos);
}

}  // namespace
}  // namespace bulkhead::testing
