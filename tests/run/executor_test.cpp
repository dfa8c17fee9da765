// SPDX-License-Identifier: MIT
#include "run/executor.h"
#include "engines/fake/fake_engine.h"
#include "many_clusters.h"
#include "run/small_scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

namespace bulkhead::testing {
namespace {

using engines::fake::Fault;
using engines::fake::make_fake_engine;
using ::testing::HasSubstr;

const run::ConditionResult& condition(const run::RunResult& result, std::string_view name) {
  for (const auto& entry : result.conditions) {
    if (entry.condition->name == name) return entry;
  }
  ADD_FAILURE() << "no condition " << name;
  return result.conditions.front();
}

run::RunResult execute(engine::Engine& engine, const plan::Plan& plan, run::ExecuteOptions options = {}) {
  return run::execute(plan, engine, options);
}

TEST(Executor, FourConditionsGiveThreeOutputsEach) {
  const auto engine = make_fake_engine();
  const auto result = execute(*engine, small_plan(*engine, {}));
  ASSERT_TRUE(result.complete) << result.incomplete_reason;
  ASSERT_EQ(result.conditions.size(), 4U);
  for (const auto& entry : result.conditions) {
    ASSERT_EQ(entry.outputs.size(), 3U) << entry.condition->name;
    for (const auto& output : entry.outputs) EXPECT_EQ(output.generated.tokens.size(), 12U);
  }
}

TEST(Executor, OnlySemanticIsIsolated) {
  const auto engine = make_fake_engine();
  const auto result = execute(*engine, small_plan(*engine, {}));
  for (const auto& entry : result.conditions) {
    const bool semantic = entry.condition->name == "semantic";
    EXPECT_EQ(entry.isolation.achieved, semantic) << entry.condition->name;
    EXPECT_EQ(entry.isolation.reasons.empty(), semantic) << entry.condition->name;
  }
  EXPECT_THAT(condition(result, "sequential").isolation.reasons.front(), HasSubstr("tokens of turns of cluster_2"));
}

// An engine whose tokenizer counts.
class CountingEngine final : public engine::Engine {
 public:
  [[nodiscard]] const CountingTokenizer& counter() const { return tokenizer_; }

  [[nodiscard]] const engine::Facts& facts() const override { return inner_->facts(); }
  [[nodiscard]] const engine::Tokenizer& tokenizer() const override { return tokenizer_; }
  [[nodiscard]] bool can(engine::Capability capability) const override { return inner_->can(capability); }
  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override {
    return inner_->bytes_for(sequences, tokens_each);
  }
  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override {
    return inner_->reserve(sequences, tokens_each);
  }
  [[nodiscard]] Result<engine::SequenceId> open(const engine::OpenOptions& options) override {
    return inner_->open(options);
  }
  [[nodiscard]] Result<engine::JobId> submit(engine::Job job) override { return inner_->submit(std::move(job)); }
  void cancel(engine::JobId job) override { inner_->cancel(job); }
  void advance(const engine::StepLimits& limits, std::vector<engine::JobEvent>& events) override {
    inner_->advance(limits, events);
  }
  void wake() noexcept override { inner_->wake(); }
  [[nodiscard]] std::size_t running_jobs() const override { return inner_->running_jobs(); }
  [[nodiscard]] Result<engine::PrefillResult> truncate(engine::SequenceId sequence, std::uint32_t tokens) override {
    return inner_->truncate(sequence, tokens);
  }
  [[nodiscard]] Result<engine::PrefillResult> prefill(engine::SequenceId sequence,
                                                      std::span<const engine::Token> tokens, std::stop_token cancel,
                                                      const engine::PrefillProgress& progress) override {
    return inner_->prefill(sequence, tokens, std::move(cancel), progress);
  }
  [[nodiscard]] Result<engine::ForkResult> fork(engine::SequenceId source, std::uint32_t tokens,
                                                const engine::OpenOptions& options) override {
    return inner_->fork(source, tokens, options);
  }
  [[nodiscard]] std::vector<Result<engine::GenerateResult>> generate(
      std::span<const engine::GenerateRequest> requests) override {
    return inner_->generate(requests);
  }
  [[nodiscard]] Result<std::vector<double>> score(engine::SequenceId sequence,
                                                  std::span<const engine::Token> tokens) override {
    return inner_->score(sequence, tokens);
  }
  [[nodiscard]] Result<engine::SequenceState> inspect(engine::SequenceId sequence) const override {
    return inner_->inspect(sequence);
  }
  [[nodiscard]] Result<engine::Snapshot> snapshot(engine::SequenceId sequence) override {
    return inner_->snapshot(sequence);
  }
  [[nodiscard]] Result<engine::SequenceId> restore(const engine::Snapshot& snapshot,
                                                   const engine::OpenOptions& options) override {
    return inner_->restore(snapshot, options);
  }
  [[nodiscard]] Result<void> close(engine::SequenceId sequence) override { return inner_->close(sequence); }

 private:
  std::unique_ptr<engine::Engine> inner_ = make_fake_engine();
  CountingTokenizer tokenizer_{inner_->tokenizer()};
};

// Each output's own input is assembled anew once it was generated, so twice the clusters are four times the text. To
// assemble all outputs' inputs for each output would be eight times, and was.
TEST(Executor, BookkeepingGrowsAsTheInputsDo) {
  const auto work = [](int clusters) {
    CountingEngine engine;
    auto format = prompt::load_format("raw");
    auto plan =
        plan::make_plan(scenario_of(clusters), std::make_shared<const prompt::Format>(std::move(format).value()),
                        engine.tokenizer(), {.conditions = {}, .prompt_set = {}, .new_tokens = 2});
    EXPECT_TRUE(plan.ok());
    const auto planned = engine.counter().bytes();
    const auto result = execute(engine, plan.value());
    EXPECT_TRUE(result.complete) << result.incomplete_reason;
    std::size_t reasons = 0;
    for (const auto& entry : result.conditions) reasons += entry.isolation.reasons.size();
    EXPECT_LE(reasons, 3U * 9U * static_cast<std::size_t>(clusters)) << "no reason for each pair of clusters";
    return std::pair{planned, engine.counter().bytes() - planned};
  };
  const auto [planned_half, ran_half] = work(40);
  const auto [planned, ran] = work(80);
  EXPECT_LT(planned, 5 * planned_half);
  EXPECT_LT(ran, 5 * ran_half);
  EXPECT_LT(ran, 3 * planned) << "once when it is put together, once when it is questioned";
}

TEST(Executor, TellsPiecesOutputsAndFinishedConditions) {
  const auto engine = make_fake_engine();
  const auto plan = small_plan(*engine, {});
  std::map<std::pair<std::string, std::string>, std::string> pieces;
  std::map<std::pair<std::string, std::string>, std::string> outputs;
  std::map<std::string, std::size_t> finished;  // with the number of outputs that were told by then
  run::ExecuteOptions options;
  options.listener = {
      .text =
          [&](const plan::Condition& condition, const plan::OutputPlan& output, std::string_view piece) {
            pieces[{std::string(condition.name), output.label}] += piece;
          },
      .output =
          [&](const plan::Condition& condition, const run::OutputResult& output) {
            outputs[{std::string(condition.name), output.label}] = output.generated.text;
          },
      .condition =
          [&](const plan::Condition& condition) {
            auto& told = finished[std::string(condition.name)];
            EXPECT_EQ(told, 0U) << "once";
            for (const auto& [key, text] : outputs) told += key.first == condition.name ? 1U : 0U;
          }};
  const auto result = execute(*engine, plan, options);
  ASSERT_TRUE(result.complete) << result.incomplete_reason;
  EXPECT_EQ(outputs.size(), 12U);
  EXPECT_EQ(pieces.size(), 12U);
  for (const auto& entry : result.conditions) {
    EXPECT_EQ(finished[std::string(entry.condition->name)], 3U) << entry.condition->name;
    for (const auto& output : entry.outputs) {
      const std::pair key(std::string(entry.condition->name), output.label);
      EXPECT_EQ(outputs[key], output.generated.text);
      EXPECT_FALSE(pieces[key].empty());
    }
  }
}

TEST(Executor, EachContextIsPrefilledOnce) {
  const auto engine = make_fake_engine();
  const auto plan = small_plan(*engine, {});
  const auto result = execute(*engine, plan);
  for (const auto& entry : result.conditions) {
    for (std::size_t i = 0; i < entry.partitions.size(); ++i) {
      const auto& partition = entry.partitions[i];
      const auto found = std::find_if(plan.contexts.begin(), plan.contexts.end(),
                                      [&](const auto& context) { return context.partition == partition.name; });
      const auto outputs = found->outputs.size();
      if (outputs == 1) continue;
      std::size_t prompts = 0;
      for (const auto& tokens : found->known.outputs) prompts += tokens.size() - found->known.shared;
      EXPECT_EQ(partition.prefilled_tokens, found->known.shared + prompts) << partition.name;
      EXPECT_EQ(partition.reused_tokens, found->known.shared * outputs) << partition.name;
    }
  }
}

TEST(Executor, MessagesArriveAndAreCounted) {
  const auto engine = make_fake_engine();
  const auto result = execute(*engine, small_plan(*engine, {"semantic"}));
  const auto& semantic = condition(result, "semantic");
  const auto& synthesis = semantic.partitions.back();
  ASSERT_EQ(synthesis.messages.size(), 2U);
  EXPECT_EQ(synthesis.messages[0].label, "A");
  EXPECT_EQ(synthesis.messages[1].label, "B");
  std::map<std::string, std::size_t> tokens;
  for (std::size_t i = 0; i < synthesis.context.size(); ++i) {
    const auto& origin = synthesis.context.origin(i);
    if (origin.kind == conversation::OriginKind::kMessage) ++tokens[origin.label];
  }
  EXPECT_GE(tokens["A"], 12U);  // the text, and the words that present it
  EXPECT_GE(tokens["B"], 12U);
}

// The fake engine's next token depends on every token it can see: equal texts mean equal contexts.
TEST(Executor, OutputsDependOnTheirOwnContextOnly) {
  const auto engine = make_fake_engine();
  const auto alone = execute(*engine, small_plan(*engine, {"semantic"}));
  const auto together = execute(*engine, small_plan(*engine, {}));
  const auto one_by_one = execute(*engine, small_plan(*engine, {}), {.sampling = {}, .max_sequences = 1});
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& text = condition(alone, "semantic").outputs[i].generated.text;
    EXPECT_EQ(text, condition(together, "semantic").outputs[i].generated.text);
    EXPECT_EQ(text, condition(one_by_one, "semantic").outputs[i].generated.text);
  }
}

TEST(Executor, SeedsDecideSampledTexts) {
  const auto engine = make_fake_engine();
  const auto plan = small_plan(*engine, {"sequential"});
  SamplingOptions sampling;
  const auto first = execute(*engine, plan, {.sampling = sampling});
  const auto again = execute(*engine, plan, {.sampling = sampling});
  sampling.seed = 43;
  const auto other = execute(*engine, plan, {.sampling = sampling});
  EXPECT_EQ(first.conditions[0].outputs[0].generated.tokens, again.conditions[0].outputs[0].generated.tokens);
  EXPECT_NE(first.conditions[0].outputs[0].generated.tokens, other.conditions[0].outputs[0].generated.tokens);
}

TEST(Executor, AFailingPartitionLeavesTheOthersRunning) {
  // Sequence 0 is semantic/cluster_1: its output is what cluster_3 waits for.
  const auto engine = make_fake_engine({.faults = {{.kind = Fault::Kind::kFailDecode, .sequence = 0, .at = 3}}});
  const auto result = execute(*engine, small_plan(*engine, {"semantic", "sequential"}));
  EXPECT_FALSE(result.complete);
  EXPECT_THAT(result.incomplete_reason, HasSubstr("semantic/cluster_1"));
  EXPECT_EQ(condition(result, "semantic").outputs.size(), 1U);  // B
  EXPECT_EQ(condition(result, "sequential").outputs.size(), 3U);
  EXPECT_FALSE(condition(result, "semantic").isolation.achieved);
}

TEST(Executor, CancelKeepsWhatWasGenerated) {
  const auto engine = make_fake_engine();
  std::stop_source stop;
  run::ExecuteOptions options{.sampling = {}, .cancel = stop.get_token()};
  options.progress = [&](const run::Progress& progress) {
    if (progress.what.starts_with("generate")) stop.request_stop();
  };
  const auto result = execute(*engine, small_plan(*engine, {}, 500), options);
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.incomplete_reason, "interrupted");
}

TEST(Executor, ProgressGoesOnWithinAPrefill) {
  const auto engine = make_fake_engine();
  run::ExecuteOptions options{.sampling = {}};
  std::vector<std::uint64_t> done;
  options.progress = [&](const run::Progress& progress) {
    if (progress.what.starts_with("prefill")) done.push_back(progress.done);
  };
  const auto result = execute(*engine, small_plan(*engine, {"sequential"}), options);
  ASSERT_TRUE(result.complete);
  ASSERT_GE(done.size(), 3U);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  for (std::size_t i = 1; i < done.size(); ++i) EXPECT_LE(done[i] - done[i - 1], 64U) << "chunk " << i;
  EXPECT_EQ(done.back(), condition(result, "sequential").partitions[0].prefilled_tokens);
}

// Planted faults: each must be seen by the verdict, and the same run without the fault must be clean
// (OnlySemanticIsIsolated).
struct Planted {
  const char* name;
  Fault fault;
  const char* reason;
};

class PlantedFault : public ::testing::TestWithParam<Planted> {};

TEST_P(PlantedFault, IsolationIsRefuted) {
  const auto engine = make_fake_engine({.faults = {GetParam().fault}});
  const auto result = execute(*engine, small_plan(*engine, {"semantic"}));
  const auto& verdict = condition(result, "semantic").isolation;
  EXPECT_FALSE(verdict.achieved);
  ASSERT_FALSE(verdict.reasons.empty());
  EXPECT_THAT(verdict.reasons.front(), HasSubstr(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(
    Run, PlantedFault,
    ::testing::Values(
        Planted{"lost_token", {.kind = Fault::Kind::kDropToken, .sequence = 0, .at = 4}, "the engine holds"},
        Planted{"foreign_token", {.kind = Fault::Kind::kForeignToken, .sequence = 1, .at = 4}, "the engine holds"},
        Planted{"swapped_token", {.kind = Fault::Kind::kSwapToken, .sequence = 2, .at = 4}, "other tokens"},
        Planted{"wrong_position", {.kind = Fault::Kind::kWrongPosition, .sequence = 0, .at = 1}, "position"}),
    [](const auto& planted) { return planted.param.name; });

}  // namespace
}  // namespace bulkhead::testing
