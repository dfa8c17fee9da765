// SPDX-License-Identifier: MIT
// Conversations in formats of others through the real program: docs/conversation-formats.md.
#include "base/json.h"
#include "cli/real_program.h"
#include "json_of.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace bulkhead::testing {
namespace {

const std::string kTopics =
    R"({"id": "b", "messages": [{"role": "user", "content": "The queen is gone.", "topic": "bees"},
 {"role": "user", "content": "The kiln cracked.", "topic": "kiln"}]})";
const std::string kNoTopics = R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "Look."},
 {"type": "image_url", "image_url": {"url": "data:,"}}]}, {"role": "assistant", "content": null}]})";

class Conversations : public ::testing::Test {
 protected:
  Outcome run(const std::string& arguments, const std::string& before = {}) {
    return run_program(folder_.path(), arguments, before);
  }

  std::string write(const std::string& name, const std::string& text) {
    const auto path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }

  std::string out(const std::string& name) { return " --out " + (folder_.path() / name).string(); }

  TemporaryFolder folder_;
};

TEST_F(Conversations, ValidateSaysWhatIsThereAndWhatIsLeftOut) {
  const auto outcome = run("validate " + write("c.json", kNoTopics));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("valid, openai, 1 conversation, 1 turn; no topics are named"), std::string::npos)
      << outcome.out;
  EXPECT_NE(outcome.out.find("; a picture is left out (1)"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.err.find("messages[0].content[1]: a picture is left out (turn 1)"), std::string::npos)
      << outcome.err;
  const auto list = json_of(run("validate --json " + write("c.json", kNoTopics)).out);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0]["format"], "openai");
  EXPECT_EQ(list[0]["names_topics"], false);
  EXPECT_EQ(list[0]["notices"].size(), 2U);
  EXPECT_EQ(run("validate -q " + write("t.json", kTopics)).out, "");
}

TEST_F(Conversations, TopicsMakeARun) {
  const auto file = write("t.json", kTopics);
  EXPECT_EQ(run("plan --engine fake " + file).code, 0);
  const auto outcome = run("run --engine fake -n 8 -q " + file + out("r"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto results = json_of(read_file((folder_.path() / "r/results.json").string()));
  EXPECT_EQ(results["runs"][0]["scenario"]["clusters"][1]["topic"], "kiln");
}

TEST_F(Conversations, WithoutTopicsRunSaysHowToNameThem) {
  for (const auto* command : {"run --out r", "plan"}) {
    const auto outcome = run(std::string(command) + " --engine fake " + write("c.json", kNoTopics));
    EXPECT_EQ(outcome.code, 3) << outcome.err;
    EXPECT_NE(outcome.err.find("names no topics"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("\"topic\""), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("docs/conversation-formats.md"), std::string::npos) << outcome.err;
  }
}

TEST_F(Conversations, StandardInputAndPipesAreRead) {
  const auto file = write("t.json", kTopics);
  EXPECT_EQ(run("validate - <" + file).code, 0);
  EXPECT_EQ(run("plan --engine fake /dev/stdin <" + file).code, 0);
  EXPECT_EQ(run("run --engine fake -n 4 -q - <" + file + out("r")).code, 0);
  const auto results = json_of(read_file((folder_.path() / "r/results.json").string()));
  EXPECT_EQ(results["runs"][0]["scenario"]["file"], "standard input");
  EXPECT_EQ(run("validate - <&-").code, 3);
  EXPECT_EQ(run("validate - </dev/null").code, 3);
  const auto compared = run("compare - --on fake --on fake <" + file);
  EXPECT_EQ(compared.code, 2) << compared.err;
  EXPECT_NE(compared.err.find("give a file, not a pipe"), std::string::npos) << compared.err;
}

TEST_F(Conversations, OneIdIsOneScenario) {
  const auto one = write("one.json", kTopics);
  auto changed = kTopics;
  changed.replace(changed.find("gone"), 4, "here");
  const auto both = run("plan --engine fake --json " + one + " " + write("two.json", changed));
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_EQ(json_of(both.out).size(), 2U) << "one id, two contents: two scenarios";
  const auto twice = run("plan --engine fake --json " + one + " " + write("copy.json", kTopics));
  EXPECT_EQ(twice.code, 0) << twice.err;
  EXPECT_TRUE(json_of(twice.out).is_object()) << "one plan, not two";
  EXPECT_NE(twice.err.find("given twice"), std::string::npos) << twice.err;
}

// The bytes of a name go into documents, which are UTF-8.
TEST_F(Conversations, NamesThatAreNotUtf8) {
  const auto file = write("n\xff.json", kTopics);
  const auto outcome = run("run --engine fake -n 4 -q " + file + out("r"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto results = json_of(read_file((folder_.path() / "r/results.json").string()));
  EXPECT_EQ(results["runs"][0]["scenario"]["file"], "n\xEF\xBF\xBD.json");
  EXPECT_EQ(run("validate --json " + file).code, 0);
  EXPECT_EQ(run("validate --json " + file + "x").code, 3);
}

TEST_F(Conversations, EvalSaysThatNothingCanBeMeasured) {
  const auto share = write("s.json", R"([{"id": 1, "conversations": [{"from": "human", "value": "Hi"}]}])");
  const auto outcome = run("eval --engine fake " + share + out("e"));
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_NE(outcome.err.find("nothing can be measured: none of 1 conversations has a question"), std::string::npos)
      << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "e")) << "refused before any work";
}

TEST_F(Conversations, EvalSaysHowManyWereLeftOut) {
  const auto data = read_text_file(source_folder() + "/datasets/bulkhead-bench/conversations.jsonl").value();
  const auto first = data.substr(0, data.find('\n') + 1);
  const auto mixed =
      write("m.jsonl", first + kTopics.substr(0, kTopics.find('\n')) + kTopics.substr(kTopics.find('\n') + 1) + "\n");
  const auto outcome = run("eval --engine fake -q --conditions semantic --kinds own " + mixed + out("e"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto summary = json_of(read_file((folder_.path() / "e/summary.json").string()));
  EXPECT_EQ(summary["made"]["dataset"]["conversations"], 2);
  EXPECT_EQ(summary["made"]["dataset"]["left_out"], 1);
  EXPECT_NE(read_file((folder_.path() / "e/report.md").string()).find("(1 without anything to ask left out)"),
            std::string::npos);
}

// In a script that nothing here can part, 0 would be a false all-clear: the made texts of the fake engine are not, so
// the terms are.
TEST_F(Conversations, TermsThatCannotBeCountedAreNotZero) {
  const auto file = write("s.json", R"({"id": "s", "semantic_clusters": {
    "a": {"topic": "a", "terminology": ["\u8702\u738b"]}, "b": {"topic": "b", "terminology": ["\u7a91"]}},
    "turns": [{"turn_id": 1, "cluster": "a", "role": "user", "content": "x"},
              {"turn_id": 2, "cluster": "b", "role": "user", "content": "y"}]})");
  const auto outcome = run("run --engine fake -n 32 " + file + out("r"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto results = json_of(read_file((folder_.path() / "r/results.json").string()));
  std::size_t uncounted = 0;
  for (const auto& condition : results["runs"][0]["conditions"]) {
    for (const auto& output : condition["outputs"]) {
      if (!output["foreign_terms"].is_null()) continue;
      ++uncounted;
      EXPECT_TRUE(output["own_terms"].is_null());
      EXPECT_EQ(output["terms_obstacle"], "the text is in another script than the terms");
    }
  }
  ASSERT_GT(uncounted, 0U);
  for (const auto* form : {"md", "csv"}) {
    const auto drawn = run("report -o " + std::string(form) + " " + (folder_.path() / "r").string());
    EXPECT_NE(drawn.out.find("not countable"), std::string::npos) << drawn.out << drawn.err;
  }
  EXPECT_NE(outcome.out.find("not countable"), std::string::npos) << outcome.out;
}

}  // namespace
}  // namespace bulkhead::testing
