// SPDX-License-Identifier: MIT
#include "conversation/scenario.h"

#include "base/json.h"
#include "json_of.h"
#include "paths.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

namespace bulkhead::conversation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::string source_path(const std::string& relative) {
  return testing::source_folder() + "/" + relative;
}

Json read_json(const std::string& relative) {
  auto text = read_text_file(source_path(relative));
  EXPECT_TRUE(text.ok());
  return testing::json_of(text.value());
}

// Two clusters of one turn each; `extra` is put into the first cluster.
std::string small_scenario(const std::string& extra = "") {
  return R"({"id": "s", "semantic_clusters": {
    "one": {"topic": "tea")" +
         extra + R"(},
    "two": {"topic": "ships"}},
   "turns": [{"turn_id": 1, "cluster": "one", "role": "user", "content": "Tea."},
             {"turn_id": 2, "cluster": "two", "role": "user", "content": "Ships."}]})";
}

TEST(Scenario, EveryCaseOfTheSharedListIsJudgedAsListed) {
  const auto list = read_json("tests/data/scenario_cases.json");
  for (const auto& one : list["cases"]) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const auto parsed = parse_scenario(list["base"].patch(one["patch"]).dump(1), "case.json");
    if (one["error"].is_null()) {
      EXPECT_TRUE(parsed.ok()) << parsed.error().to_string();
      continue;
    }
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().code, ErrorCode::kBadInput);
    EXPECT_THAT(parsed.error().message, HasSubstr(one["error"].get<std::string>()));
    EXPECT_THAT(parsed.error().place, StartsWith("case.json:"));
  }
}

TEST(Scenario, AnErrorNamesFileLineAndField) {
  const auto twice = parse_scenario(R"({
  "id": "s",
  "semantic_clusters": {"one": {"topic": "tea"}},
  "turns": [
    {"turn_id": 1, "cluster": "one", "role": "user", "content": "Tea."},
    {"turn_id": 1, "cluster": "one", "role": "user", "content": "More tea."}
  ]
})",
                                    "a.json");
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().place, "a.json:6: turns[1].turn_id");

  const auto cycle = parse_scenario(R"({"id": "s", "semantic_clusters": {
    "one": {"topic": "tea", "depends_on": ["two"]},
    "two": {"topic": "ships",
            "depends_on": ["one"]}},
  "turns": [{"turn_id": 1, "cluster": "one", "role": "user", "content": "Tea."},
            {"turn_id": 2, "cluster": "two", "role": "user", "content": "Ships."}]})",
                                    "b.json");
  ASSERT_FALSE(cycle.ok());
  EXPECT_EQ(cycle.error().place, "b.json:4: semantic_clusters.two.depends_on");
  EXPECT_THAT(cycle.error().message, HasSubstr("one -> two -> one"));
}

TEST(Scenario, InvalidUtf8IsRefusedWithItsLine) {
  auto text = small_scenario();
  text.insert(text.find("Ships."), "\xC3(");
  const auto parsed = parse_scenario(text, "bytes.json");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(parsed.error().to_string(), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(parsed.error().place, StartsWith("bytes.json:5"));
}

TEST(Scenario, HalfASurrogatePairAndACutFileAreNotJson) {
  EXPECT_FALSE(parse_scenario(R"({"id": "\ud800"})", "x.json").ok());
  const auto whole = small_scenario();
  const auto cut = parse_scenario(whole.substr(0, whole.size() - 3), "cut.json");
  ASSERT_FALSE(cut.ok());
  EXPECT_THAT(cut.error().message, HasSubstr("not valid JSON"));
}

TEST(Scenario, SizesAreLimited) {
  const std::string long_text(1'048'577, 'x');
  auto text = small_scenario();
  text.replace(text.find("Ships."), 6, long_text);
  const auto parsed = parse_scenario(text, "long.json");
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.error().message, HasSubstr("1048577 bytes; the limit is 1048576"));

  Json many = testing::json_of(small_scenario());
  for (int i = 3; i <= 10'001; ++i) {
    many["turns"].push_back({{"turn_id", i}, {"cluster", "one"}, {"role", "user"}, {"content", "x"}});
  }
  const auto crowded = parse_scenario(many.dump(), "many.json");
  ASSERT_FALSE(crowded.ok());
  EXPECT_THAT(crowded.error().message, HasSubstr("10001 turns; the limit is 10000"));
}

TEST(Scenario, TheSynthesisOfTheSeedsLayoutDependsOnAllClustersBeforeIt) {
  const auto list = read_json("tests/data/scenario_cases.json");
  const auto parsed = parse_scenario(list["base"].dump(), "base.json");
  ASSERT_TRUE(parsed.ok());
  const auto& clusters = parsed.value().clusters;
  EXPECT_THAT(clusters[0].depends_on, IsEmpty());
  EXPECT_THAT(clusters[1].depends_on, IsEmpty());
  EXPECT_THAT(clusters[2].depends_on, ElementsAre("cluster_1", "cluster_2"));
  EXPECT_EQ(parsed.value().turns[0].field, TurnField::kInstruction);
  EXPECT_EQ(parsed.value().turns[3].field, TurnField::kQuery);
}

TEST(Scenario, OneDeclaredDependencyTurnsTheInferenceOff) {
  auto base = read_json("tests/data/scenario_cases.json")["base"];
  base["semantic_clusters"]["cluster_2"]["depends_on"] = Json::array();
  const auto parsed = parse_scenario(base.dump(), "base.json");
  ASSERT_TRUE(parsed.ok());
  EXPECT_THAT(parsed.value().clusters[2].depends_on, IsEmpty());
}

TEST(Scenario, TheTopicComesFromTopicThenFocusAreaThenTaskType) {
  const auto topic_with = [](const std::string& fields) {
    auto text = small_scenario();
    text.replace(text.find(R"("topic": "tea")"), 14, fields);
    const auto parsed = parse_scenario(text, "s.json");
    return parsed.ok() ? parsed.value().clusters[0].topic : parsed.error().to_string();
  };
  EXPECT_EQ(topic_with(R"("topic": "T", "focus_area": "F", "task_type": "a_b")"), "T");
  EXPECT_EQ(topic_with(R"("focus_area": "F", "task_type": "a_b")"), "F");
  EXPECT_EQ(topic_with(R"("task_type": "plan_the_tea")"), "plan the tea");
}

TEST(Scenario, LabelsGoOnAfterZ) {
  Json many = testing::json_of(R"({"id": "many", "semantic_clusters": {}, "turns": []})");
  for (int i = 1; i <= 54; ++i) {
    many["semantic_clusters"][fmt::format("cluster_{}", i)] = {{"topic", "t"}};
    many["turns"].push_back({{"turn_id", i}, {"cluster", i}, {"role", "user"}, {"content", "x"}});
  }
  const auto parsed = parse_scenario(many.dump(), "many.json");
  ASSERT_TRUE(parsed.ok()) << parsed.error().to_string();
  const auto& clusters = parsed.value().clusters;
  EXPECT_EQ(clusters[0].label, "A");
  EXPECT_EQ(clusters[25].label, "Z");
  EXPECT_EQ(clusters[26].label, "AA");
  EXPECT_EQ(clusters[51].label, "AZ");
  EXPECT_EQ(clusters[52].label, "BA");
}

// Cluster i may depend on clusters before it only, whatever their order in the file: never a cycle. One edge back:
// always.
RC_GTEST_PROP(ScenarioProperty, AForwardGraphIsAcceptedAndABackEdgeOnAPathIsACycle, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(2, 9);
  Json scenario = testing::json_of(R"({"id": "graph", "semantic_clusters": {}, "turns": []})");
  const auto id = [](std::size_t i) { return fmt::format("c{}", i); };
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < count; ++i) order.push_back(*rc::gen::inRange<std::size_t>(0, i + 1));
  std::vector<std::size_t> file_order;
  for (std::size_t i = 0; i < count; ++i) {
    file_order.insert(file_order.begin() + static_cast<std::ptrdiff_t>(order[i]), i);
  }
  for (const auto i : file_order) {
    Json depends = Json::array();
    for (std::size_t j = 0; j < i; ++j) {
      if (j + 1 == i || *rc::gen::arbitrary<bool>()) depends.push_back(id(j));
    }
    scenario["semantic_clusters"][id(i)] = {{"topic", "t"}, {"depends_on", depends}};
    scenario["turns"].push_back({{"turn_id", i}, {"cluster", id(i)}, {"role", "user"}, {"content", "x"}});
  }
  const auto accepted = parse_scenario(scenario.dump(), "graph.json");
  RC_ASSERT(accepted.ok());
  const auto target = *rc::gen::inRange<std::size_t>(1, count);
  scenario["semantic_clusters"][id(0)]["depends_on"].push_back(id(target));
  const auto refused = parse_scenario(scenario.dump(), "graph.json");
  RC_ASSERT(!refused.ok());
  RC_ASSERT(refused.error().message.find(" -> ") != std::string::npos);
}

// A damaged file gives an error or a scenario, never a crash or a turn that is not there.
RC_GTEST_PROP(ScenarioProperty, DamagedBytesNeverBreakTheReader, ()) {
  auto text = small_scenario(R"(, "depends_on": ["two"], "prompts": {"neutral": "Write."})");
  const auto damages = *rc::gen::inRange(1, 6);
  for (int i = 0; i < damages; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    text[at] = *rc::gen::arbitrary<char>();
  }
  const auto parsed = parse_scenario(text, "damaged.json");
  if (!parsed.ok()) {
    RC_ASSERT(parsed.error().code == ErrorCode::kBadInput);
    return;
  }
  std::size_t turns = 0;
  for (const auto& cluster : parsed.value().clusters) {
    RC_ASSERT(!cluster.turns.empty());
    for (const int id : cluster.turns) RC_ASSERT(parsed.value().find_turn(id)->cluster == cluster.id);
    turns += cluster.turns.size();
  }
  RC_ASSERT(turns == parsed.value().turns.size());
}

TEST(ShippedScenarios, AllAreAcceptedAndThreeHaveFifteenTurnsInThreeClusters) {
  int of_the_main_shape = 0;
  for (const auto& file : std::filesystem::directory_iterator(source_path("scenarios"))) {
    if (file.path().filename() == "scenario.schema.json") continue;
    SCOPED_TRACE(file.path().string());
    const auto loaded = load_scenario(file.path().string());
    ASSERT_TRUE(loaded.ok()) << loaded.error().to_string();
    EXPECT_EQ(loaded.value().id, file.path().stem());
    EXPECT_EQ(loaded.value().sha256.size(), 64U);
    if (loaded.value().turns.size() == 15 && loaded.value().clusters.size() == 3) ++of_the_main_shape;
  }
  EXPECT_GE(of_the_main_shape, 3);
}

bool contains_word(std::string text, std::string word) {
  const auto lower = [](unsigned char c) { return static_cast<char>(std::tolower(c)); };
  std::transform(text.begin(), text.end(), text.begin(), lower);
  std::transform(word.begin(), word.end(), word.begin(), lower);
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    if (at == 0 || std::isalnum(static_cast<unsigned char>(text[at - 1])) == 0) return true;
  }
  return false;
}

// Terms tell topics apart only if they occur in their own turns and in none of the other topics'.
TEST(ShippedScenarios, TermsOccurInTheirOwnClusterAndInNoOtherThatHasTerms) {
  for (const auto* name : {"hospital_pharmacy", "city_tram", "fish_farm", "market_hall"}) {
    const auto loaded = load_scenario(source_path(std::string("scenarios/") + name + ".json"));
    ASSERT_TRUE(loaded.ok());
    const auto& scenario = loaded.value();
    for (const auto& cluster : scenario.clusters) {
      const bool must_have_terms = scenario.clusters.size() == 3 && cluster.depends_on.empty();
      EXPECT_GE(cluster.terminology.size(), must_have_terms ? 15U : 0U);
      for (const auto& term : cluster.terminology) {
        std::set<std::string> found_in;
        for (const auto& turn : scenario.turns) {
          const bool marked = !scenario.find_cluster(turn.cluster)->terminology.empty();
          if (marked && contains_word(turn.text, term)) found_in.insert(turn.cluster);
        }
        EXPECT_EQ(found_in, std::set{cluster.id}) << name << ": " << term;
      }
    }
  }
}

TEST(ShippedScenarios, TheDiamondDependsAsDrawn) {
  const auto loaded = load_scenario(source_path("scenarios/market_hall.json"));
  ASSERT_TRUE(loaded.ok());
  EXPECT_THAT(loaded.value().find_cluster("structure")->depends_on, ElementsAre("survey"));
  EXPECT_THAT(loaded.value().find_cluster("trade")->depends_on, ElementsAre("survey"));
  EXPECT_THAT(loaded.value().find_cluster("decision")->depends_on, ElementsAre("structure", "trade"));
}

TEST(Scenario, AMissingFileIsBadInput) {
  const auto loaded = load_scenario(source_path("scenarios/no_such_file.json"));
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, ErrorCode::kBadInput);
}

TEST(SeedScenario, IsReadAsItIs) {
  const char* variable = std::getenv("BULKHEAD_SEED_SCENARIO");
  const std::string path =
      variable != nullptr ? variable : source_path("../shared/data/validation_001_software_eng.json");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no seed scenario at " << path;
  const auto loaded = load_scenario(path);
  ASSERT_TRUE(loaded.ok()) << loaded.error().to_string();
  const auto& scenario = loaded.value();
  EXPECT_EQ(scenario.id, "validation_001_software_eng");
  ASSERT_EQ(scenario.turns.size(), 15U);
  ASSERT_EQ(scenario.clusters.size(), 3U);
  EXPECT_THAT(scenario.clusters[1].turns, ElementsAre(6, 7, 8, 9, 10));
  EXPECT_EQ(scenario.clusters[0].terminology.size(), 20U);
  EXPECT_THAT(scenario.clusters[2].depends_on, ElementsAre("cluster_1", "cluster_2"));
  EXPECT_EQ(scenario.clusters[0].topic, "Infrastructure and query performance analysis");
  EXPECT_EQ(scenario.turns[14].field, TurnField::kQuery);
}

}  // namespace
}  // namespace bulkhead::conversation
