// SPDX-License-Identifier: MIT
#include "dataset/dataset.h"
#include "json_of.h"

#include "paths.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace bulkhead::dataset {
namespace {

const std::string kSource = testing::source_folder();

Json small_line() {
  return testing::json_of(R"({
    "scenario": {"id": "two", "semantic_clusters": {"tea": {"topic": "tea"}, "ships": {"topic": "ships"}},
      "turns": [{"turn_id": 1, "cluster": "tea", "role": "user", "content": "Tea costs 4 euros."},
                {"turn_id": 2, "cluster": "ships", "role": "user", "content": "A mast costs 90 euros."}]},
    "difficulty": 2, "canaries": ["T-1", "S-2"],
    "facts": [{"cluster": "tea", "turn": 1, "entity": "shop", "slot": "price", "value": "4 euros"}],
    "questions": [{"id": "q1", "cluster": "tea", "kind": "own", "entity": "shop", "slot": "price", "text": "How much?",
      "lead": "It is", "answer": "4 euros", "distractors": [{"cluster": "ships", "value": "90 euros"}], "sources": ["tea"]}]})");
}

// The first line of what goes wrong, if anything does.
std::string refusal(const Json& line) {
  const auto read = read_dataset(small_line().dump() + "\n" + line.dump() + "\n", "set.jsonl");
  if (read.ok()) return {};
  EXPECT_EQ(read.error().code, ErrorCode::kBadInput);
  EXPECT_NE(read.error().place.find("set.jsonl:2"), std::string::npos) << read.error().to_string();
  return read.error().to_string();
}

Json another_line(const std::string& pointer, const Json& value) {
  auto line = small_line();
  line["scenario"]["id"] = "other";
  line[Json::json_pointer(pointer)] = value;
  return line;
}

TEST(DatasetJsonl, ComesBackAsItWasWritten) {
  const auto text = read_text_file(kSource + "/datasets/bulkhead-bench/conversations.jsonl").value();
  const auto set = read_dataset(text, "set.jsonl");
  ASSERT_TRUE(set.ok()) << set.error().to_string();
  std::string again;
  for (const auto& conversation : set->conversations) again += to_json_line(conversation) + '\n';
  EXPECT_TRUE(again == text);
  EXPECT_EQ(set->sha256.size(), 64U);
}

TEST(DatasetJsonl, ReadsWhatIsThere) {
  const auto set = read_dataset(small_line().dump(), "set.jsonl");
  ASSERT_TRUE(set.ok()) << set.error().to_string();
  const auto& one = set->conversations.at(0);
  EXPECT_EQ(one.scenario.turns.size(), 2U);
  EXPECT_EQ(one.difficulty, 2);
  EXPECT_EQ(one.canaries, (std::vector<std::string>{"T-1", "S-2"}));
  EXPECT_EQ(one.questions.at(0).distractors, (std::vector<Distractor>{{"ships", "90 euros"}}));
  ASSERT_NE(current_fact(one, "tea", "shop", "price"), nullptr);
  EXPECT_EQ(current_fact(one, "ships", "shop", "price"), nullptr);
}

TEST(DatasetJsonl, NamesWhatIsWrong) {
  EXPECT_EQ(refusal(another_line("/difficulty", 1)), "");
  EXPECT_NE(refusal(small_line()).find("\"two\" is used twice"), std::string::npos);
  EXPECT_NE(refusal(another_line("/difficulty", 4)).find("difficulty"), std::string::npos);
  EXPECT_NE(refusal(another_line("/canaries", {"T-1"})).find("1 canaries for 2 clusters"), std::string::npos);
  EXPECT_NE(refusal(another_line("/facts/0/cluster", "rum")).find("no cluster \"rum\""), std::string::npos);
  EXPECT_NE(refusal(another_line("/facts/0/turn", 2)).find("\"tea\" has no turn 2"), std::string::npos);
  EXPECT_NE(refusal(another_line("/facts/0/value", "5 euros")).find("does not say \"5 euros\""), std::string::npos);
  EXPECT_NE(refusal(another_line("/questions/0/kind", "guess")).find("unknown kind \"guess\""), std::string::npos);
  EXPECT_NE(refusal(another_line("/questions/0/answer", "90 euros")).find("there twice"), std::string::npos);
  EXPECT_NE(refusal(another_line("/questions/0/distractors", Json::array())).find("wrong answer"), std::string::npos);
  EXPECT_NE(refusal(another_line("/questions/0/sources", {"rum"})).find("no cluster"), std::string::npos);
  EXPECT_NE(refusal(another_line("/questions/0/hint", "no")).find("hint"), std::string::npos);
  EXPECT_NE(refusal(another_line("/scenario/turns/0/cluster", "rum")).find("scenario.turns[0].cluster"),
            std::string::npos);
  EXPECT_FALSE(read_dataset("\n\n", "set.jsonl").ok());
}

TEST(Dataset, FormatIsRecognized) {
  const testing::TemporaryFolder folder;
  const auto load = [&](const std::string& text) {
    const auto path = (folder / "set").string();
    std::ofstream(path) << text;
    return load_dataset(path);
  };
  EXPECT_EQ(load(small_line().dump() + "\n")->conversations.at(0).questions.size(), 1U);
  EXPECT_EQ(load(R"([{"conversations": [{"from": "human", "value": "x"}]}])")->conversations.size(), 1U);
  EXPECT_EQ(load(R"({"conversations": [{"from": "human", "value": "x"}]})")->conversations.size(), 1U);
  EXPECT_EQ(load(small_line()["scenario"].dump(1))->conversations.at(0).scenario.id, "two");
  EXPECT_EQ(load(small_line()["scenario"].dump())->conversations.at(0).scenario.id, "two");
  EXPECT_FALSE(load("{}").ok());
  EXPECT_FALSE(load("").ok());
  EXPECT_FALSE(load_dataset((folder / "none").string()).ok());
}

TEST(Dataset, ShippedScenariosComeBackFromJson) {
  for (const char* const name : {"hospital_pharmacy", "market_hall", "fish_farm", "city_tram"}) {
    const auto set = load_dataset(kSource + "/scenarios/" + name + ".json");
    ASSERT_TRUE(set.ok()) << set.error().to_string();
    const auto& scenario = set->conversations.at(0).scenario;
    const auto again = conversation::parse_scenario(conversation::to_json(scenario).dump(), "again.json");
    ASSERT_TRUE(again.ok()) << again.error().to_string();
    EXPECT_EQ(conversation::to_json(again.value()), conversation::to_json(scenario));
    EXPECT_EQ(again->turns.size(), scenario.turns.size());
    EXPECT_EQ(again->clusters.back().depends_on, scenario.clusters.back().depends_on);
  }
}

}  // namespace
}  // namespace bulkhead::dataset
