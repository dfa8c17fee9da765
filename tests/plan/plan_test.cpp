// SPDX-License-Identifier: MIT
#include "plan/plan.h"

#include "engines/fake/fake_engine.h"
#include "json_of.h"
#include "paths.h"
#include "plan/count_difference.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::plan {
namespace {

using conversation::OriginKind;
using conversation::Scenario;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::shared_ptr<const Scenario> shipped(const std::string& name) {
  auto loaded = conversation::load_scenario(fmt::format("{}/scenarios/{}.json", testing::source_folder(), name));
  EXPECT_TRUE(loaded.ok()) << loaded.error().to_string();
  return std::make_shared<const Scenario>(std::move(loaded).value());
}

std::shared_ptr<const prompt::Format> format_named(std::string_view name) {
  auto loaded = prompt::load_format(name);
  EXPECT_TRUE(loaded.ok());
  return std::make_shared<const prompt::Format>(std::move(loaded).value());
}

const engine::Tokenizer& byte_tokenizer() {
  static const auto engine = engines::fake::make_fake_engine();
  return engine->tokenizer();
}

Plan plan_of(std::shared_ptr<const Scenario> scenario, std::string_view format, const Settings& settings = {}) {
  auto plan = make_plan(std::move(scenario), format_named(format), byte_tokenizer(), settings);
  EXPECT_TRUE(plan.ok()) << plan.error().to_string();
  return std::move(plan).value();
}

// "kind partition [from] [output]" of each step.
std::vector<std::string> told(const Plan& plan) {
  std::vector<std::string> lines;
  for (const auto& step : plan.steps) {
    auto line = fmt::format("{} {}", name(step.kind), step.partition);
    if (!step.from.empty()) line += fmt::format(" from {}", step.from);
    if (!step.output.empty()) line += fmt::format(" {}", step.output);
    lines.push_back(line);
  }
  return lines;
}

const Step& step_of(const Plan& plan, StepKind kind, const std::string& partition) {
  const auto found = std::find_if(plan.steps.begin(), plan.steps.end(),
                                  [&](const Step& step) { return step.kind == kind && step.partition == partition; });
  EXPECT_NE(found, plan.steps.end()) << name(kind) << " " << partition;
  return *found;
}

TEST(Conditions, AreFourAndOthersAreUsage) {
  std::vector<std::string_view> names;
  for (const auto& condition : conditions()) names.push_back(condition.name);
  EXPECT_THAT(names, ElementsAre("sequential", "prompted", "turn_based", "semantic"));
  const auto unknown = find_condition("telepathic");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_THAT(unknown.error().advice, HasSubstr("sequential, prompted, turn_based, semantic"));
}

TEST(Conditions, OneCacheShowsAllTurnsAndSemanticOnlyItsOwn) {
  const auto scenario = shipped("market_hall");
  for (const auto* name : {"sequential", "prompted", "turn_based"}) {
    const auto contexts = find_condition(name).value()->contexts(*scenario);
    ASSERT_EQ(contexts.size(), 1U);
    EXPECT_EQ(contexts[0].content.turns.size(), scenario->turns.size());
    EXPECT_THAT(contexts[0].outputs, ElementsAre("A", "B", "C", "D"));
    EXPECT_THAT(contexts[0].content.messages_from, IsEmpty());
    EXPECT_EQ(contexts[0].content.instruction, name == std::string_view("prompted"));
    EXPECT_EQ(contexts[0].content.markers, name == std::string_view("turn_based"));
  }
  const auto contexts = find_condition("semantic").value()->contexts(*scenario);
  ASSERT_EQ(contexts.size(), 4U);
  EXPECT_THAT(contexts[2].content.turns, ElementsAre(5, 6));
  EXPECT_THAT(contexts[2].content.messages_from, ElementsAre("A"));
  EXPECT_THAT(contexts[3].content.messages_from, ElementsAre("B", "C"));
}

TEST(Plan, AOneCacheConditionPrefillsOnceAndForksForEachOutput) {
  const auto plan = plan_of(shipped("hospital_pharmacy"), "mlx-seed", {.conditions = {"sequential"}});
  EXPECT_THAT(told(plan),
              ElementsAre("open sequential/all", "prefill sequential/all",                                  //
                          "fork sequential/all/A from sequential/all", "prefill sequential/all/A A",        //
                          "generate sequential/all/A A", "fork sequential/all/B from sequential/all",       //
                          "prefill sequential/all/B B", "generate sequential/all/B B",                      //
                          "fork sequential/all/C from sequential/all", "prefill sequential/all/C C",        //
                          "generate sequential/all/C C", "close sequential/all", "close sequential/all/A",  //
                          "close sequential/all/B", "close sequential/all/C"));
  const auto& context = plan.contexts[0];
  // Without its prompts, the context is what is shared.
  EXPECT_EQ(context.known.shared, context.known.context.size());
  EXPECT_EQ(step_of(plan, StepKind::kPrefill, "sequential/all").tokens, context.known.shared);
  EXPECT_EQ(step_of(plan, StepKind::kFork, "sequential/all/B").tokens, context.known.shared);
  EXPECT_EQ(plan.most_sequences(), 4U);
}

TEST(Plan, SemanticGeneratesInEachPartitionAndSendsBeforeTheReceiversPrefill) {
  const auto plan = plan_of(shipped("hospital_pharmacy"), "hf-seed", {.conditions = {"semantic"}});
  EXPECT_THAT(told(plan),
              ElementsAre("open semantic/cluster_1", "prefill semantic/cluster_1", "generate semantic/cluster_1 A",  //
                          "open semantic/cluster_2", "prefill semantic/cluster_2", "generate semantic/cluster_2 B",  //
                          "open semantic/cluster_3", "send semantic/cluster_3 from semantic/cluster_1 A",            //
                          "send semantic/cluster_3 from semantic/cluster_2 B", "prefill semantic/cluster_3",         //
                          "generate semantic/cluster_3 C", "close semantic/cluster_1", "close semantic/cluster_2",   //
                          "close semantic/cluster_3"));
  const auto& prefill = step_of(plan, StepKind::kPrefill, "semantic/cluster_3");
  EXPECT_TRUE(prefill.awaits_messages);
  EXPECT_EQ(prefill.after.size(), 3U);
  EXPECT_FALSE(step_of(plan, StepKind::kPrefill, "semantic/cluster_1").awaits_messages);
  EXPECT_EQ(step_of(plan, StepKind::kGenerate, "semantic/cluster_3").tokens, 400U);
  // Its own context and prompt, two messages of up to 300 tokens, and its output.
  const auto& receiver = plan.contexts[2];
  EXPECT_GE(receiver.longest, receiver.known.outputs[0].size() + 2U * 300U + 400U);
  EXPECT_EQ(step_of(plan, StepKind::kOpen, "semantic/cluster_3").tokens, receiver.longest);
}

TEST(Plan, TheDiamondRunsEvenWhenTheFileListsTheLastClusterFirst) {
  auto scenario = *shipped("market_hall");
  std::reverse(scenario.clusters.begin(), scenario.clusters.end());
  const auto plan = plan_of(std::make_shared<const Scenario>(scenario), "bulkhead", {.conditions = {"semantic"}});
  std::vector<std::string> generated;
  for (const auto& step : plan.steps) {
    if (step.kind == StepKind::kGenerate) generated.push_back(step.partition);
  }
  EXPECT_EQ(generated.front(), "semantic/survey");
  EXPECT_EQ(generated.back(), "semantic/decision");
  EXPECT_EQ(plan.contexts[0].partition, "semantic/decision");
}

TEST(Plan, SettingsChooseConditionsPromptsAndLengths) {
  const auto plan = plan_of(shipped("city_tram"), "raw",
                            {.conditions = {"semantic", "sequential"}, .prompt_set = "targeted", .new_tokens = 7});
  EXPECT_EQ(plan.contexts.front().condition->name, "semantic");
  EXPECT_EQ(plan.contexts.back().condition->name, "sequential");
  for (const auto& context : plan.contexts) {
    for (const auto& output : context.outputs) {
      EXPECT_EQ(output.max_tokens, 7U);
      EXPECT_EQ(output.prompt, plan.scenario->find_cluster(output.cluster)->prompts.at("targeted"));
    }
  }
}

TEST(Plan, WrongSettingsAreUsage) {
  const auto scenario = shipped("city_tram");
  const std::vector<Settings> wrong = {{.conditions = {"telepathic"}},
                                       {.conditions = {"semantic", "semantic"}},
                                       {.prompt_set = "loud"},
                                       {.new_tokens = 0},
                                       {.new_tokens = 1'000'001}};
  for (const auto& settings : wrong) {
    const auto plan = make_plan(scenario, format_named("raw"), byte_tokenizer(), settings);
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.error().code, ErrorCode::kUsage) << plan.error().to_string();
  }
}

TEST(Plan, AMessageEntersTheContextWithItsFrameAndItsLabel) {
  const auto plan = plan_of(shipped("fish_farm"), "mlx-seed", {.conditions = {"semantic"}});
  const auto& receiver = plan.contexts[2];
  const auto tokens = context_tokens(plan, receiver, byte_tokenizer(), {{"A", "lice"}, {"B", "sushi"}});
  ASSERT_TRUE(tokens.ok());
  const auto extra = tokens.value().context.size() - receiver.known.context.size();
  EXPECT_EQ(extra, std::string("\nOutput A: lice\n\nOutput B: sushi\n\n").size());
  std::map<std::string, int> by_label;
  const auto& whole = tokens.value().outputs[0];
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (whole.origin(i).kind == OriginKind::kMessage) ++by_label[whole.origin(i).label];
  }
  EXPECT_EQ(by_label, (std::map<std::string, int>{{"A", 4}, {"B", 5}}));
}

TEST(Plan, JsonHoldsEveryStepAndTheBreakdownSums) {
  const auto plan = plan_of(shipped("city_tram"), "hf-seed");
  const auto json = to_json(plan);
  EXPECT_EQ(json["scenario"]["id"], "city_tram");
  EXPECT_EQ(json["format"]["name"], "hf-seed");
  ASSERT_EQ(json["steps"].size(), plan.steps.size());
  ASSERT_EQ(json["contexts"].size(), 6U);
  for (const auto& context : json["contexts"]) {
    std::size_t sum = 0;
    for (const auto& [origin, tokens] : context["tokens_by_origin"].items()) sum += tokens.get<std::size_t>();
    EXPECT_EQ(sum, context["tokens"].get<std::size_t>());
    std::size_t of_turns = 0;
    for (const auto& turn : context["turns"]) of_turns += turn["tokens"].get<std::size_t>();
    EXPECT_EQ(of_turns, context["tokens_by_origin"]["turn"].get<std::size_t>());
  }
  EXPECT_EQ(json["contexts"][0]["tokens_by_origin"]["bos"], 15);
  EXPECT_EQ(json["contexts"][5]["awaits_messages"], Json({"A", "B"}));
  EXPECT_EQ(json["steps"][0]["kind"], "open");
}

TEST(Plan, TextHasOneLineForEachStepAndNoLineIsRagged) {
  const auto plan = plan_of(shipped("hospital_pharmacy"), "mlx-seed");
  const auto text = to_text(plan);
  EXPECT_THAT(text, HasSubstr("Plan of hospital_pharmacy (15 turns, 3 clusters) in format mlx-seed\n"));
  for (const auto& context : plan.contexts) {
    EXPECT_THAT(text, HasSubstr(fmt::format("{} ", context.known.context.size()).substr(0, 3)));
  }
  const auto steps = text.substr(text.find("\nSteps\n"));
  EXPECT_EQ(std::count(steps.begin(), steps.end(), '\n'), static_cast<std::ptrdiff_t>(plan.steps.size()) + 5);
  EXPECT_EQ(text.find(" \n"), std::string::npos);
  EXPECT_EQ(text.find("fork "), steps.find("fork ") + text.size() - steps.size());
}

// The parts of the difference always sum to it, for any two formats that the tokenizer can serve.
TEST(CountDifference, ThePartsSumToTheDifferenceForEveryPairOfFormats) {
  for (const auto* scenario : {"hospital_pharmacy", "city_tram", "fish_farm", "market_hall"}) {
    for (const auto& first_name : prompt::builtin_formats()) {
      for (const auto& second_name : prompt::builtin_formats()) {
        const auto first = plan_of(shipped(scenario), first_name);
        const auto second = plan_of(shipped(scenario), second_name);
        const auto differences = count_differences(first, second);
        ASSERT_TRUE(differences.ok());
        ASSERT_EQ(differences.value().size(), first.contexts.size());
        for (const auto& difference : differences.value()) {
          std::int64_t sum = 0;
          for (const auto& part : difference.parts) {
            EXPECT_NE(part.tokens, 0);
            sum += part.tokens;
          }
          EXPECT_EQ(sum, static_cast<std::int64_t>(difference.second) - static_cast<std::int64_t>(difference.first));
        }
      }
    }
  }
}

TEST(CountDifference, NamesTheQueryTheBosTokensAndTheSeparators) {
  const auto scenario = shipped("hospital_pharmacy");
  const auto differences = count_differences(plan_of(scenario, "mlx-seed"), plan_of(scenario, "hf-seed"));
  ASSERT_TRUE(differences.ok());
  const auto& sequential = differences.value()[0];
  ASSERT_EQ(sequential.parts.size(), 3U);
  const auto query = static_cast<std::int64_t>(scenario->turns[14].text.size());  // one token a byte here
  EXPECT_EQ(sequential.parts[0].reason, fmt::format("query of turn 15: 0 against {}", query));
  EXPECT_EQ(sequential.parts[0].tokens, query);
  EXPECT_EQ(sequential.parts[1].reason, "BOS tokens: 1 against 15");
  EXPECT_EQ(sequential.parts[2].reason, "separators: 26 against 0");
  // 1 BOS + 4 separators (of two bytes) against 5 BOS.
  EXPECT_EQ(differences.value()[3].context, "cluster_1");
  EXPECT_EQ(differences.value()[3].parts.size(), 2U);
}

TEST(CountDifference, PlansOfOtherScenariosOrConditionsCannotBeCompared) {
  const auto scenario = shipped("hospital_pharmacy");
  const auto whole = plan_of(scenario, "mlx-seed");
  EXPECT_FALSE(count_differences(whole, plan_of(shipped("city_tram"), "mlx-seed")).ok());
  EXPECT_FALSE(count_differences(whole, plan_of(scenario, "mlx-seed", {.conditions = {"semantic"}})).ok());
}

// A scenario with any acyclic dependencies, its clusters and turns in any order.
Scenario any_scenario() {
  const auto count = *rc::gen::inRange<std::size_t>(1, 7);
  Json json = testing::json_of(R"({"id": "any", "semantic_clusters": {}, "turns": []})");
  std::vector<std::size_t> file_order;
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = *rc::gen::inRange<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(i) + 1);
    file_order.insert(file_order.begin() + at, i);
  }
  int id = 0;
  for (const auto i : file_order) {
    Json depends = Json::array();
    for (std::size_t j = 0; j < i; ++j) {
      if (*rc::gen::arbitrary<bool>()) depends.push_back(fmt::format("c{}", j));
    }
    const auto cluster = fmt::format("c{}", i);
    json["semantic_clusters"][cluster] = {{"topic", fmt::format("topic {}", i)}, {"depends_on", depends}};
    const auto turns = *rc::gen::inRange(1, 4);
    for (int turn = 0; turn < turns; ++turn) {
      const auto* field = *rc::gen::element("content", "query", "instruction");
      const auto* role = *rc::gen::element("user", "assistant", "system");
      json["turns"].push_back({{"turn_id", ++id}, {"cluster", cluster}, {"role", role}, {field, "Some words. "}});
    }
  }
  auto parsed = conversation::parse_scenario(json.dump(), "any.json");
  RC_ASSERT(parsed.ok());
  return std::move(parsed).value();
}

Plan any_plan() {
  auto scenario = std::make_shared<const Scenario>(any_scenario());
  const auto format = *rc::gen::element<std::string>("bulkhead", "hf-seed", "mlx-seed", "raw");
  auto plan = make_plan(std::move(scenario), format_named(format), byte_tokenizer(), {});
  RC_ASSERT(plan.ok());
  return std::move(plan).value();
}

// Plays the steps one by one: what must be open is open, what is sent was made, and everything closes once.
RC_GTEST_PROP(PlanProperty, StepsRunInOrderAndPartitionsOpenAndCloseOnce, ()) {
  const auto plan = any_plan();
  std::set<std::string> open;
  std::set<std::string> ever;
  std::map<std::string, std::string> made;  // partition -> label
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const auto& step = plan.steps[i];
    RC_ASSERT(step.id.value() == i);
    for (const auto id : step.after) RC_ASSERT(id.value() < i);
    if (step.kind == StepKind::kOpen || step.kind == StepKind::kFork) {
      RC_ASSERT(ever.insert(step.partition).second);
      open.insert(step.partition);
    }
    RC_ASSERT(open.contains(step.partition));
    if (!step.from.empty()) RC_ASSERT(open.contains(step.from));
    if (step.kind == StepKind::kSend) RC_ASSERT(made.at(step.from) == step.output);
    if (step.kind == StepKind::kGenerate) made[step.partition] = step.output;
    if (step.kind == StepKind::kClose) open.erase(step.partition);
  }
  RC_ASSERT(open.empty());
  RC_ASSERT(plan.most_sequences() == ever.size());
}

// The order of `after` alone is enough: in any order that keeps it, nothing is used before it is there or after it
// closed.
RC_GTEST_PROP(PlanProperty, AnyOrderThatKeepsTheDependenciesIsSafe, ()) {
  const auto plan = any_plan();
  std::set<std::uint32_t> done;
  std::set<std::string> open;
  std::set<std::string> prefilled;
  while (done.size() < plan.steps.size()) {
    std::vector<const Step*> ready;
    for (const auto& step : plan.steps) {
      const bool free =
          std::all_of(step.after.begin(), step.after.end(), [&](StepId id) { return done.contains(id.value()); });
      if (free && !done.contains(step.id.value())) ready.push_back(&step);
    }
    RC_ASSERT(!ready.empty());
    const auto& step = *ready[*rc::gen::inRange<std::size_t>(0, ready.size())];
    done.insert(step.id.value());
    if (step.kind == StepKind::kOpen || step.kind == StepKind::kFork) open.insert(step.partition);
    RC_ASSERT(open.contains(step.partition));
    if (!step.from.empty()) RC_ASSERT(open.contains(step.from));
    if (step.kind == StepKind::kFork) RC_ASSERT(prefilled.contains(step.from));
    if (step.kind == StepKind::kPrefill) prefilled.insert(step.partition);
    if (step.kind == StepKind::kGenerate) RC_ASSERT(prefilled.contains(step.partition));
    if (step.kind == StepKind::kSend) RC_ASSERT(!prefilled.contains(step.partition));
    if (step.kind == StepKind::kClose) open.erase(step.partition);
  }
}

// The prefix that is prefilled once, and each output's own rest, are exactly the output's tokens with their origins;
// the prefix holds no token of a prompt.
RC_GTEST_PROP(PlanProperty, SharedPrefixAndRestGiveEachOutput, ()) {
  const auto plan = any_plan();
  for (const auto& context : plan.contexts) {
    std::map<std::string, std::string> messages;
    for (const auto& label : context.spec.content.messages_from) messages[label] = fmt::format("Answer {}.\n", label);
    const auto tokens = context_tokens(plan, context, byte_tokenizer(), messages);
    RC_ASSERT(tokens.ok());
    const auto& outputs = tokens.value().outputs;
    const auto shared = tokens.value().shared;
    for (const auto& output : outputs) {
      RC_ASSERT(output.size() == output.origin_of.size());
      RC_ASSERT(shared <= output.size());
      RC_ASSERT(outputs.size() == 1 || shared < output.size());
      auto joined = outputs.front().slice(0, shared);
      joined.append(output.slice(shared, output.size()));
      RC_ASSERT(joined.tokens == output.tokens);
      for (std::size_t i = 0; i < output.size(); ++i) RC_ASSERT(joined.origin(i) == output.origin(i));
      const bool promptless = outputs.size() > 1;
      for (std::size_t i = 0; promptless && i < shared; ++i) RC_ASSERT(output.origin(i).kind != OriginKind::kPrompt);
      RC_ASSERT(output.size() <= context.longest);
    }
    RC_ASSERT(shared <= context.shared_bound);
  }
}

// A context holds tokens of its own turns only, and in the one-cache conditions of all of them.
RC_GTEST_PROP(PlanProperty, ContextsShowExactlyTheirTurns, ()) {
  const auto plan = any_plan();
  for (const auto& context : plan.contexts) {
    std::set<int> shown;
    for (const auto& origin : context.known.context.origins) {
      if (origin.kind == OriginKind::kTurn) shown.insert(origin.turn);
    }
    std::set<int> expected;
    for (const int id : context.spec.content.turns) {
      const bool dropped =
          plan.scenario->find_turn(id)->field == conversation::TurnField::kQuery && !plan.format->read_query;
      if (!dropped) expected.insert(id);
    }
    RC_ASSERT(shown == expected);
  }
}

}  // namespace
}  // namespace bulkhead::plan
