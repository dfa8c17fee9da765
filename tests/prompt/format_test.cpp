// SPDX-License-Identifier: MIT
#include "prompt/format.h"

#include "base/json.h"
#include "json_of.h"
#include "paths.h"
#include "prompt/builtin_format.h"
#include "prompt/placeholders.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace bulkhead::prompt {
namespace {

using conversation::Scenario;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string source_path(const std::string& relative) {
  return testing::source_folder() + "/" + relative;
}

// Clusters A and B, and C that depends on both; turns 1-2, 3 and 5, 4.
Scenario scenario_of(const std::vector<std::string>& task_types) {
  Json json = testing::json_of(R"({"id": "s", "semantic_clusters": {}, "turns": []})");
  const std::vector<std::string> topics = {"tea", "ships", "the two of them"};
  for (std::size_t i = 0; i < 3; ++i) {
    json["semantic_clusters"][fmt::format("c{}", i + 1)] = {{"task_type", task_types[i]}, {"topic", topics[i]}};
  }
  json["semantic_clusters"]["c3"]["depends_on"] = {"c1", "c2"};
  const std::vector<const char*> owners = {"c1", "c1", "c2", "c3", "c2"};
  for (std::size_t i = 0; i < owners.size(); ++i) {
    json["turns"].push_back({{"turn_id", i + 1}, {"cluster", owners[i]}, {"role", "user"}, {"content", "x"}});
  }
  auto parsed = conversation::parse_scenario(json.dump(), "s.json");
  EXPECT_TRUE(parsed.ok()) << parsed.error().to_string();
  return std::move(parsed).value();
}

Scenario plain_scenario() {
  return scenario_of({"brewing", "sailing", "joining"});
}
Scenario seed_like_scenario() {
  return scenario_of({"performance_optimization", "product_strategy", "synthesis"});
}

std::string prompt_of(const Format& format, const Scenario& scenario, std::size_t cluster,
                      std::string_view condition = "sequential", std::string_view set = "") {
  const auto text = prompt_text(format, scenario, scenario.clusters[cluster], condition, set);
  return text.ok() ? text.value() : "error: " + text.error().to_string();
}

TEST(Format, TheBuiltInOnesAreNamedAsTheirFilesAndDifferInHash) {
  EXPECT_THAT(builtin_formats(), ElementsAre("bulkhead", "hf-seed-chat", "hf-seed-one-bos", "hf-seed", "mlx-seed-query",
                                             "mlx-seed", "raw"));
  for (const auto& name : builtin_formats()) {
    const auto format = builtin_format(name);
    EXPECT_EQ(format.name, name);
    const auto from_file = load_format(source_path("formats/" + name + ".json"));
    ASSERT_TRUE(from_file.ok());
    EXPECT_EQ(from_file.value().sha256, format.sha256);
  }
}

TEST(Format, AnUnknownNameIsUsageAndTellsTheKnownOnes) {
  const auto unknown = load_format("mlx");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_THAT(unknown.error().advice,
              HasSubstr("bulkhead, hf-seed-chat, hf-seed-one-bos, hf-seed, mlx-seed-query, mlx-seed, raw"));
}

TEST(Format, PromptsOfTheMlxSeedAreVerbatimForTheSeedsTaskTypes) {
  const auto format = builtin_format("mlx-seed");
  const auto scenario = seed_like_scenario();
  EXPECT_EQ(format.prompt_prefix, "\n\n");
  for (const auto* condition : {"sequential", "prompted", "turn_based", "semantic"}) {
    EXPECT_EQ(prompt_of(format, scenario, 0, condition), "Generate output A based on the provided context:");
    EXPECT_EQ(prompt_of(format, scenario, 2, condition), "Generate output C that integrates outputs A and B:");
  }
  EXPECT_EQ(prompt_of(format, scenario, 1, "sequential", "targeted"),
            "Based on the business strategy discussion above, provide recommendations:");
  EXPECT_EQ(instruction_text(format, scenario),
            "IMPORTANT: Keep the following topics separate: technical performance analysis and business strategy.\n\n");
  EXPECT_EQ(format.new_tokens_dependent, 300U);
}

TEST(Format, PromptsOfTheHfSeedDependOnTheCondition) {
  const auto format = builtin_format("hf-seed");
  const auto scenario = seed_like_scenario();
  EXPECT_EQ(prompt_of(format, scenario, 1, "semantic"), "Generate output B based on the provided context:");
  EXPECT_EQ(prompt_of(format, scenario, 1, "prompted"),
            "Based on the business product strategy, provide your recommendations:");
  EXPECT_EQ(prompt_of(format, scenario, 2, "turn_based"),
            "Based on turns 11-15 (synthesis), provide an executive strategic roadmap:");
  EXPECT_EQ(format.new_tokens_independent, 300U);
  EXPECT_EQ(format.new_tokens_dependent, 400U);
}

TEST(Format, OtherScenariosGetTheTemplates) {
  const auto scenario = plain_scenario();
  const auto hf = builtin_format("hf-seed");
  EXPECT_EQ(prompt_of(hf, scenario, 1, "turn_based"), "Based on turns 3, 5 (ships), provide your recommendations:");
  EXPECT_EQ(prompt_of(hf, scenario, 2), "Generate output C that integrates outputs A and B:");
  EXPECT_EQ(instruction_text(builtin_format("mlx-seed"), scenario),
            "IMPORTANT: Keep the following topics separate: tea and ships.\n\n");
  EXPECT_THAT(instruction_text(hf, scenario), HasSubstr("\n1. tea\n2. ships\n3. the two of them\n"));
}

TEST(Format, TheScenariosPromptsComeBeforeTheTemplatesAndAfterTheExactTexts) {
  auto plain = plain_scenario();
  plain.clusters[0].prompts["neutral"] = "Pour {label}.";
  EXPECT_EQ(prompt_of(builtin_format("mlx-seed"), plain, 0), "Pour {label}.");
  EXPECT_EQ(prompt_of(builtin_format("mlx-seed"), plain, 0, "sequential", "targeted"),
            "Based on the part on tea above, provide recommendations:");
  auto seed_like = seed_like_scenario();
  seed_like.clusters[0].prompts["neutral"] = "Pour.";
  EXPECT_EQ(prompt_of(builtin_format("mlx-seed"), seed_like, 0), "Generate output A based on the provided context:");
}

TEST(Format, AnUnknownPromptSetIsUsage) {
  const auto scenario = plain_scenario();
  const auto text = prompt_text(builtin_format("raw"), scenario, scenario.clusters[0], "sequential", "loud");
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().code, ErrorCode::kUsage);
  EXPECT_THAT(text.error().advice, HasSubstr("neutral, targeted"));
}

TEST(Format, BrokenFilesAreRefusedWithTheirPlace) {
  const auto whole = read_text_file(source_path("formats/mlx-seed.json"));
  ASSERT_TRUE(whole.ok());
  const auto base = testing::json_of(whole.value());
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"([{"op": "add", "path": "/colour", "value": 1}])", "unknown field \"colour\""},
      {R"([{"op": "replace", "path": "/rendering", "value": "song"}])", "unknown rendering \"song\""},
      {R"([{"op": "replace", "path": "/rendering", "value": "chat"}])", "\"tokenizing\" has no meaning with chat"},
      {R"([{"op": "replace", "path": "/tokenizing", "value": "per_block"}])", "\"separator\" has no meaning"},
      {R"([{"op": "add", "path": "/bos", "value": "once"}])", "\"bos\" has no meaning where blocks"},
      {R"([{"op": "add", "path": "/instruction_role", "value": "user"}])", "has no meaning with raw rendering"},
      {R"([{"op": "replace", "path": "/turn_marker", "value": "{number}"}])", "unknown placeholder \"{number}\""},
      {R"([{"op": "remove", "path": "/turn_marker"}])", "\"turn_marker\" is missing"},
      {R"([{"op": "replace", "path": "/message/item", "value": "{label}"}])", "must hold {text}"},
      {R"([{"op": "remove", "path": "/texts/prompts/neutral"}])", "the set \"neutral\" is missing"},
      {R"([{"op": "remove", "path": "/texts/prompts/neutral/dependent"}])", "needs both"},
      {R"([{"op": "replace", "path": "/exact/task_types", "value": []}])", "the list is empty"},
      {R"([{"op": "add", "path": "/prompt_sets", "value": {"prompted": "loud"}}])", "has no prompts \"loud\""},
      {R"([{"op": "replace", "path": "/new_tokens/dependent", "value": 0}])", "0 is outside 1 to"},
      {R"([{"op": "replace", "path": "/read_query", "value": "yes"}])", "expected true or false"},
  };
  for (const auto& [patch, message] : cases) {
    SCOPED_TRACE(patch);
    const auto parsed = parse_format(base.patch(testing::json_of(patch)).dump(1), "f.json");
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().code, ErrorCode::kBadInput);
    EXPECT_THAT(parsed.error().message, HasSubstr(message));
    EXPECT_THAT(parsed.error().place, ::testing::StartsWith("f.json:"));
  }
}

// Each of the seed's confounds is one field's difference from the seed's format.
TEST(Format, OneThatExtendsAnotherDiffersInItsOwnFieldsOnly) {
  const auto base = builtin_format("hf-seed");
  const auto once = builtin_format("hf-seed-one-bos");
  EXPECT_TRUE(base.bos_per_block);
  EXPECT_FALSE(once.bos_per_block);
  EXPECT_EQ(once.tokenizing, Tokenizing::kPerBlock);
  EXPECT_NE(once.sha256, base.sha256);
  const auto chat = builtin_format("hf-seed-chat");
  EXPECT_EQ(chat.rendering, Rendering::kChat);
  for (const auto& one : {once, chat}) {
    EXPECT_EQ(instruction_text(one, seed_like_scenario()), instruction_text(base, seed_like_scenario()));
    EXPECT_EQ(prompt_of(one, seed_like_scenario(), 2, "turn_based"),
              prompt_of(base, seed_like_scenario(), 2, "turn_based"));
    EXPECT_EQ(one.new_tokens_dependent, base.new_tokens_dependent);
  }
  const auto query = builtin_format("mlx-seed-query");
  EXPECT_TRUE(query.read_query);
  EXPECT_EQ(query.separator, builtin_format("mlx-seed").separator);
}

TEST(Format, WhatItExtendsMustBeBuiltInAndExtendNothing) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"name": "x", "extends": "hf"})", "no built-in format \"hf\""},
      {R"({"name": "x", "extends": "hf-seed-chat"})", "extends another format itself"},
      {R"({"name": "x", "extends": "hf-seed", "bos": "never"})", "unknown bos \"never\""},
      {R"({"name": "x", "extends": "hf-seed", "colour": 1})", "unknown field \"colour\""},
  };
  for (const auto& [text, message] : cases) {
    const auto parsed = parse_format(text, "f.json");
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kBadInput);
    EXPECT_THAT(parsed.error().message, HasSubstr(message));
    EXPECT_THAT(parsed.error().place, ::testing::StartsWith("f.json"));
  }
}

TEST(Placeholders, WhatIsPutInIsNotReadAgain) {
  EXPECT_EQ(fill("{a}-{b}", {{"a", "{b}"}, {"b", "2"}}), "{b}-2");
  EXPECT_EQ(fill("{unknown} {a", {{"a", "1"}}), "{unknown} {a");
}

// Splitting a text and putting the parts together gives the same text, whatever braces it holds.
RC_GTEST_PROP(PlaceholdersProperty, TheEmptyFillingChangesNothing, ()) {
  const auto text = *rc::gen::container<std::string>(rc::gen::element('{', '}', 'a', '_', 'Z', ' '));
  RC_ASSERT(fill(text, {}) == text);
}

}  // namespace
}  // namespace bulkhead::prompt
