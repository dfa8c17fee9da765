// SPDX-License-Identifier: MIT
// The counts, and the very token ids, that the Hugging Face tokenizer gives for every context in the raw formats:
// tests/data/token_counts.json, written and checked by tests/reference/hf_token_counts.py.
#include "base/hash.h"
#include "base/json.h"
#include "engines/real_models.h"
#include "json_of.h"
#include "paths.h"
#include "plan/count_difference.h"
#include "plan/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::plan {
namespace {

using ::testing::ElementsAre;

std::string seed_path() {
  const char* variable = std::getenv("BULKHEAD_SEED_SCENARIO");
  if (variable != nullptr) return variable;
  return fmt::format("{}/../shared/data/validation_001_software_eng.json", testing::source_folder());
}

// Loaded once: the suites of this file share it.
const engine::Engine* gemma() {
  static const auto engine = testing::load_llama(testing::kGemma, {.context_tokens = 64});
  return engine.ok() ? engine.value().get() : nullptr;
}

Plan plan_of(const std::string& scenario_path, std::string_view format_name) {
  auto scenario = conversation::load_scenario(scenario_path);
  EXPECT_TRUE(scenario.ok()) << scenario.error().to_string();
  auto format = prompt::load_format(format_name);
  EXPECT_TRUE(format.ok());
  auto plan = make_plan(std::make_shared<const conversation::Scenario>(std::move(scenario).value()),
                        std::make_shared<const prompt::Format>(std::move(format).value()), gemma()->tokenizer(), {});
  EXPECT_TRUE(plan.ok()) << plan.error().to_string();
  return std::move(plan).value();
}

std::vector<std::size_t> counts(const Plan& plan) {
  std::vector<std::size_t> all;
  for (const auto& context : plan.contexts) all.push_back(context.known.context.size());
  return all;
}

// Checks the pinned records of one scenario; returns how many there were.
std::size_t check_pinned(const std::string& scenario_name, const std::string& path) {
  const auto text = read_text_file(fmt::format("{}/tests/data/token_counts.json", testing::source_folder()));
  EXPECT_TRUE(text.ok());
  const auto pinned = testing::json_of(text.value());
  std::map<std::string, Plan> plans;  // by format
  std::size_t checked = 0;
  for (const auto& record : pinned["counts"]) {
    if (record["scenario"] != scenario_name) continue;
    const auto format = record["format"].get<std::string>();
    if (!plans.contains(format)) plans.emplace(format, plan_of(path, format));
    const auto& contexts = plans.at(format).contexts;
    const auto partition =
        fmt::format("{}/{}", record["condition"].get<std::string>(), record["context"].get<std::string>());
    SCOPED_TRACE(fmt::format("{} {} {}", scenario_name, format, partition));
    const auto found =
        std::find_if(contexts.begin(), contexts.end(), [&](const auto& one) { return one.partition == partition; });
    EXPECT_NE(found, contexts.end());
    if (found == contexts.end()) continue;
    EXPECT_EQ(found->known.context.size(), record["tokens"].get<std::size_t>());
    EXPECT_EQ(sha256_of_tokens(found->known.context.tokens), record["token_sha256"].get<std::string>());
    ++checked;
  }
  return checked;
}

TEST(ModelTokenCounts, OurScenariosAreTokenizedAsTheHuggingFaceTokenizerDoes) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  ASSERT_NE(gemma(), nullptr);
  for (const auto* name : {"hospital_pharmacy", "city_tram", "fish_farm"}) {
    EXPECT_EQ(check_pinned(name, fmt::format("{}/scenarios/{}.json", testing::source_folder(), name)), 30U);
  }
  EXPECT_EQ(check_pinned("market_hall", fmt::format("{}/scenarios/market_hall.json", testing::source_folder())), 35U);
}

TEST(ModelSeedScenario, HasTheCountsOfTheSeedExperiment) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  if (!std::filesystem::exists(seed_path())) GTEST_SKIP() << "no seed scenario at " << seed_path();
  ASSERT_NE(gemma(), nullptr);
  EXPECT_THAT(counts(plan_of(seed_path(), "mlx-seed")), ElementsAre(1088, 1104, 1185, 419, 452, 217));
  EXPECT_THAT(counts(plan_of(seed_path(), "hf-seed")), ElementsAre(1140, 1197, 1236, 419, 452, 269));
  EXPECT_EQ(check_pinned("seed", seed_path()), 30U);
}

TEST(ModelSeedScenario, TheDifferenceBetweenTheFormatsIsTheQueryTheBosTokensAndTheSeparators) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  if (!std::filesystem::exists(seed_path())) GTEST_SKIP() << "no seed scenario at " << seed_path();
  ASSERT_NE(gemma(), nullptr);
  const auto differences = count_differences(plan_of(seed_path(), "mlx-seed"), plan_of(seed_path(), "hf-seed"));
  ASSERT_TRUE(differences.ok());
  const auto told = [](const CountDifference& difference) {
    std::vector<std::string> lines;
    for (const auto& part : difference.parts) lines.push_back(fmt::format("{} = {:+}", part.reason, part.tokens));
    return lines;
  };
  EXPECT_THAT(told(differences.value()[0]),
              ElementsAre("query of turn 15: 0 against 51 = +51", "BOS tokens: 1 against 15 = +14",
                          "separators: 13 against 0 = -13"));
  EXPECT_THAT(told(differences.value()[3]),
              ElementsAre("BOS tokens: 1 against 5 = +4", "separators: 4 against 0 = -4"));
}

// Each of these formats takes back one thing in which the seed's sides differ.
TEST(ModelSeedScenario, TheFormatsForItsConfoundsDifferByOneReasonEach) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  if (!std::filesystem::exists(seed_path())) GTEST_SKIP() << "no seed scenario at " << seed_path();
  ASSERT_NE(gemma(), nullptr);
  EXPECT_THAT(counts(plan_of(seed_path(), "hf-seed-one-bos")), ElementsAre(1126, 1182, 1222, 415, 448, 265));
  // The query's 51 tokens and the separator before it; with markers the separator was there.
  EXPECT_THAT(counts(plan_of(seed_path(), "mlx-seed-query")), ElementsAre(1140, 1156, 1236, 419, 452, 269));
}

// The chat format with a real template: every byte of every turn is there, and only the template wrote control tokens.
TEST(ModelChatFormat, QwenShowsEveryTurnOfEveryScenario) {
  BULKHEAD_NEED_MODEL(testing::kQwen);
  const auto engine = testing::load_llama(testing::kQwen, {.context_tokens = 64});
  ASSERT_TRUE(engine.ok());
  const auto& tokenizer = engine.value()->tokenizer();
  for (const auto* name : {"hospital_pharmacy", "city_tram", "fish_farm", "market_hall"}) {
    auto scenario = conversation::load_scenario(fmt::format("{}/scenarios/{}.json", testing::source_folder(), name));
    auto format = prompt::load_format("bulkhead");
    ASSERT_TRUE(scenario.ok() && format.ok());
    const auto plan = make_plan(std::make_shared<const conversation::Scenario>(std::move(scenario).value()),
                                std::make_shared<const prompt::Format>(std::move(format).value()), tokenizer, {});
    ASSERT_TRUE(plan.ok()) << plan.error().to_string();
    for (const auto& context : plan.value().contexts) {
      std::map<int, std::string> shown;
      const auto& tokens = context.known.context;
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        const auto& origin = tokens.origin(i);
        const auto piece = tokenizer.piece(tokens.tokens[i]);
        if (origin.kind == conversation::OriginKind::kTurn) shown[origin.turn] += piece;
        EXPECT_TRUE(!piece.empty() || origin.kind == conversation::OriginKind::kTemplate);
      }
      // A token on the edge of marker and turn belongs to the marker; without markers turns are whole.
      if (context.spec.content.markers) continue;
      for (const int id : context.spec.content.turns) {
        EXPECT_EQ(shown[id], plan.value().scenario->find_turn(id)->text) << name << " turn " << id;
      }
    }
  }
}

}  // namespace
}  // namespace bulkhead::plan
