// SPDX-License-Identifier: MIT
// What is particular to engines of other frameworks: one child for all sequences, which may die, hang or talk rubbish,
// and options that a framework does not have.
#include "engines/worker/framework_engine.h"

#include "engines/builtin.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::engines::worker {
namespace {

using engine::Engine;
using engine::GenerateRequest;
using engine::SequenceId;
using engine::Token;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

ModelOptions tiny(const std::string& family = "llama") {
  ModelOptions options;
  options.engine = "transformers";
  options.path = testing::build_folder() + "/tiny_checkpoints/" + family;
  options.context_tokens = 512;
  options.threads = 1;
  return options;
}

// The real worker, behind a shell that writes down its process: exec keeps the number.
class FrameworkEngine : public ::testing::Test {
 protected:
  std::unique_ptr<Engine> start(std::chrono::milliseconds answer = 60s) {
    auto command = framework_command("transformers_worker");
    EXPECT_TRUE(command.ok()) << (command.ok() ? "" : command.error().to_string());
    if (!command.ok()) return nullptr;
    std::string line = "echo $$ >'" + pid_file() + "'; exec";
    for (const auto& argument : command.value().arguments) line += " '" + argument + "'";
    command.value().arguments = {"sh", "-c", line};
    command.value().variables.emplace_back("PYTHONPATH", testing::source_folder() + "/workers");
    command.value().answer = answer;
    auto made = make_framework_engine(tiny(), command.value());
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
    return made.ok() ? std::move(made).value() : nullptr;
  }

  [[nodiscard]] std::string pid_file() const { return (folder_ / "pid").string(); }
  [[nodiscard]] pid_t pid() const { return static_cast<pid_t>(std::stol(testing::read_file(folder_ / "pid"))); }

  static SequenceId open_with(Engine& engine, std::string_view text) {
    const auto id = engine.open({.capacity_tokens = 128});
    EXPECT_TRUE(id.ok()) << (id.ok() ? "" : id.error().to_string());
    if (!id.ok()) return SequenceId(~0U);
    const auto tokens = engine.tokenizer().tokenize(text).value();
    const auto done = engine.prefill(id.value(), tokens);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().to_string());
    return id.value();
  }

  static GenerateOptions greedy(std::uint32_t count) {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = count;
    options.ignore_end = true;
    options.hash_logits = true;
    return options;
  }

  testing::TemporaryFolder folder_;
};

Error load_error(const ModelOptions& options) {
  const auto made = builtin_engines().make(options);
  EXPECT_FALSE(made.ok());
  return made.ok() ? Error{} : made.error();
}

TEST_F(FrameworkEngine, AWorkerThatDiesInMidGenerationTakesItsSequencesAlongAndTheNextOneStartsAnother) {
  const auto engine = start();
  ASSERT_NE(engine, nullptr);
  const auto expected = [&] {
    const GenerateRequest request{open_with(*engine, "harbour"), greedy(6)};
    return engine->generate({&request, 1})[0].value();
  }();
  const auto first = pid();
  const auto a = open_with(*engine, "harbour");
  const auto b = open_with(*engine, "bread");
  const auto beside = open_with(*engine, "beside");
  auto killing = greedy(10);
  killing.on_token = [&](const TokenEvent& event) {
    if (event.index == 2) ::kill(first, SIGKILL);
    return true;
  };
  const std::vector<GenerateRequest> requests = {{a, killing}, {b, greedy(10)}};
  const auto results = engine->generate(requests);
  for (const auto& result : results) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::kRemote);
    EXPECT_THAT(result.error().message, HasSubstr("exit code 137"));
  }
  EXPECT_EQ(engine->inspect(a).error().code, ErrorCode::kClosed);
  EXPECT_EQ(engine->inspect(beside).error().code, ErrorCode::kRemote) << "the first call about it says what happened";
  EXPECT_EQ(engine->inspect(beside).error().code, ErrorCode::kClosed);
  EXPECT_TRUE(engine->close(b).ok());
  EXPECT_TRUE(engine->tokenizer().tokenize("it tokenized too").ok());
  const GenerateRequest again{open_with(*engine, "harbour"), greedy(6)};
  EXPECT_NE(pid(), first);
  const auto result = engine->generate({&again, 1})[0];
  ASSERT_TRUE(result.ok()) << result.error().to_string();
  EXPECT_EQ(result.value().tokens, expected.tokens);
  EXPECT_EQ(result.value().logit_hashes, expected.logit_hashes);
}

// As long as loading may take on a busy machine: that is the same limit.
TEST_F(FrameworkEngine, AHungWorkerIsGivenUpAndTheNextOneStarts) {
  const auto engine = start(30s);
  ASSERT_NE(engine, nullptr);
  const auto id = open_with(*engine, "harbour");
  ::kill(pid(), SIGSTOP);
  const auto done = engine->prefill(id, std::vector<Token>{20, 21});
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kRemote);
  EXPECT_THAT(done.error().message, HasSubstr("silent for 30000 ms"));
  EXPECT_TRUE(engine->open({.capacity_tokens = 16}).ok());
}

TEST_F(FrameworkEngine, EnginesOfOneModelShareAWorkerAndWhatOneLeavesBehindIsClosed) {
  auto first = start();
  ASSERT_NE(first, nullptr);
  const auto shared = pid();
  const auto kept = open_with(*first, "harbour");
  const auto hash = first->state_hash(kept).value();
  {
    const auto second = start();
    ASSERT_NE(second, nullptr);
    EXPECT_EQ(pid(), shared) << "a second child was started";
    const auto left = open_with(*second, "bread");
    EXPECT_NE(left, kept) << "an id means something in one engine only";
    EXPECT_EQ(first->inspect(left).error().code, ErrorCode::kClosed);
    EXPECT_EQ(second->inspect(kept).error().code, ErrorCode::kClosed);
    EXPECT_NE(second->state_hash(left).value(), hash);
  }
  EXPECT_EQ(first->state_hash(kept).value(), hash) << "the other engine's end touched it";
  const GenerateRequest request{kept, greedy(3)};
  EXPECT_TRUE(first->generate({&request, 1})[0].ok());
  first.reset();
  for (int i = 0; i < 100 && ::kill(shared, 0) == 0; ++i) std::this_thread::sleep_for(100ms);
  EXPECT_NE(::kill(shared, 0), 0) << "it ends with the last engine";
  EXPECT_NE(start(), nullptr);
  EXPECT_NE(pid(), shared);
}

// What each job was told of, one letter for an event: p progress, t token, o outcome.
std::vector<std::pair<engine::JobId, char>> letters(const std::vector<engine::JobEvent>& events) {
  std::vector<std::pair<engine::JobId, char>> all;
  for (const auto& event : events) {
    const bool token = std::holds_alternative<engine::Drawn>(event.what);
    all.emplace_back(event.job, token ? 't' : std::holds_alternative<engine::Prefilled>(event.what) ? 'p' : 'o');
  }
  return all;
}

engine::JobResult result_of(const std::vector<engine::JobEvent>& events, engine::JobId job) {
  for (const auto& event : events) {
    const auto* outcome = std::get_if<Result<engine::JobResult>>(&event.what);
    if (outcome == nullptr || event.job != job) continue;
    EXPECT_TRUE(outcome->ok()) << (outcome->ok() ? "" : outcome->error().to_string());
    return outcome->ok() ? outcome->value() : engine::JobResult{};
  }
  ADD_FAILURE() << "no outcome";
  return {};
}

TEST_F(FrameworkEngine, JobsOfOneWorkerInterleaveAndNoneChangesAnother) {
  const auto engine = start();
  ASSERT_NE(engine, nullptr);
  const auto text = [&](std::string_view words) { return engine->tokenizer().tokenize(words).value(); };
  const auto alone = [&](std::string_view words, std::uint32_t count) {
    const GenerateRequest request{open_with(*engine, words), greedy(count)};
    return engine->generate({&request, 1})[0].value();
  };
  const auto expected_long = alone("harbour", 60);
  const auto expected_late = alone("bread", 4);
  const auto open = [&](std::uint32_t capacity) { return engine->open({.capacity_tokens = capacity}).value(); };
  const auto submit = [&](SequenceId id, std::vector<Token> prefill, std::uint32_t count) {
    return engine->submit({.sequence = id, .prefill = std::move(prefill), .generate = greedy(count), .cancel = {}})
        .value();
  };
  const auto long_one = submit(open(128), text("harbour"), 60);
  std::vector<engine::JobEvent> events;
  while (events.size() < 4) engine->advance({}, events);
  const auto late = submit(open(128), text("bread"), 4);
  const auto prompt = submit(open(512), std::vector<Token>(500, 40), 1);  // two chunks
  while (engine->running_jobs() > 0) engine->advance({}, events);
  const auto told = letters(events);
  const auto place = [&](engine::JobId job, char what) {
    return std::find(told.begin(), told.end(), std::pair(job, what));
  };
  EXPECT_LT(place(late, 'o'), place(long_one, 'o')) << "the short one that came late is done first";
  EXPECT_LT(place(prompt, 'o'), place(long_one, 'o'));
  const auto between = std::find(place(late, 't'), place(late, 'o'), std::pair(long_one, 't'));
  EXPECT_NE(between, place(late, 'o')) << "the long one draws between the short one's tokens";
  const auto first = place(prompt, 'p');
  const auto second = std::find(first + 1, told.end(), std::pair(prompt, 'p'));
  EXPECT_NE(std::find(first, second, std::pair(long_one, 't')), second) << "and between the chunks of a prompt";
  for (const auto& [job, expected] : {std::pair(long_one, &expected_long), std::pair(late, &expected_late)}) {
    const auto result = result_of(events, job).generated;
    EXPECT_EQ(result.tokens, expected->tokens);
    EXPECT_EQ(result.text, expected->text);
    EXPECT_EQ(result.logit_hashes, expected->logit_hashes) << "each is computed by itself";
  }
}

TEST_F(FrameworkEngine, JobsOfAnotherEngineInTheSameWorkerStandStill) {
  const auto first = start();
  auto second = start();
  ASSERT_TRUE(first != nullptr && second != nullptr);
  const auto id = open_with(*first, "harbour");
  const auto held = first->inspect(id).value().tokens;
  const auto job = first->submit({.sequence = id, .prefill = {}, .generate = greedy(9), .cancel = {}}).value();
  std::vector<engine::JobEvent> events;
  first->advance({}, events);
  const auto drawn = events.size();
  const auto other = open_with(*second, "bread");
  const GenerateRequest request{other, greedy(20)};
  EXPECT_EQ(second->generate({&request, 1})[0].value().tokens.size(), 20U);
  EXPECT_EQ(first->inspect(id).value().tokens, held + drawn) << "who wants one token may not get two";
  // What a program leaves behind is nobody's.
  ASSERT_TRUE(second->submit({.sequence = other, .prefill = {}, .generate = greedy(50), .cancel = {}}).ok());
  second->advance({}, events);
  events.resize(drawn, {job, engine::Prefilled{}});
  second.reset();
  while (first->running_jobs() > 0) first->advance({}, events);
  EXPECT_EQ(result_of(events, job).generated.tokens.size(), 9U);
}

TEST_F(FrameworkEngine, WhatAWorkerSaidLastIsInTheMessage) {
  WorkerCommand command;
  command.arguments = {"sh", "-c", "echo 'no module named torch' >&2; exit 1"};
  const auto made = make_framework_engine(tiny(), command);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kRemote);
  EXPECT_THAT(made.error().message, HasSubstr("no module named torch"));
  command.arguments = {"sh", "-c", "echo Hello; exec sleep 60"};
  EXPECT_THAT(make_framework_engine(tiny(), command).error().message, HasSubstr("not the worker protocol"));
}

TEST_F(FrameworkEngine, WithoutItsEnvironmentTheScriptIsNamed) {
  const char* before = std::getenv("BULKHEAD_WORKERS");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("BULKHEAD_WORKERS", (folder_ / "nothing").c_str(), 1);
  const auto error = load_error(tiny());
  before == nullptr ? ::unsetenv("BULKHEAD_WORKERS") : ::setenv("BULKHEAD_WORKERS", kept.c_str(), 1);
  EXPECT_EQ(error.code, ErrorCode::kUsage);
  EXPECT_THAT(error.advice, HasSubstr("scripts/install_workers.sh"));
}

TEST_F(FrameworkEngine, OptionsThatAFrameworkDoesNotHaveAreRefusedByName) {
  struct Case {
    void (*change)(ModelOptions&);
    ErrorCode code;
    std::string place;
  };
  const std::vector<Case> cases = {
      {[](ModelOptions& options) { options.grade = Grade::kMask; }, ErrorCode::kUsage, "--grade"},
      {[](ModelOptions& options) { options.guard = Guard::kPages; }, ErrorCode::kUsage, "--guard"},
      {[](ModelOptions& options) { options.kv_type_k = "q8_0"; }, ErrorCode::kUnsupported, "-ctk"},
      {[](ModelOptions& options) { options.kv_type_v = "f16"; }, ErrorCode::kUnsupported, "-ctv"},
      {[](ModelOptions& options) { options.kernels = "bulkhead"; }, ErrorCode::kUnsupported, "--kernels"},
      {[](ModelOptions& options) { options.gpu_layers = 3; }, ErrorCode::kUnsupported, "-ngl"},
      {[](ModelOptions& options) { options.dtype = "f8"; }, ErrorCode::kUsage, "--dtype"},
      {[](ModelOptions& options) { options.context_tokens = 5000; }, ErrorCode::kResource, "-c"},
      {[](ModelOptions& options) { options.attention = "flash"; }, ErrorCode::kUsage, "--attention"},
      {[](ModelOptions& options) {
         options.engine = "mlx";
         options.attention = "eager";
       },
       ErrorCode::kUnsupported, "--attention"},
      {[](ModelOptions& options) {
         options.engine = "mlx";
         options.positions = "restart";
       },
       ErrorCode::kUnsupported, "--positions"},
  };
  for (const auto& each : cases) {
    auto options = tiny();
    each.change(options);
    const auto error = load_error(options);
    EXPECT_EQ(error.code, each.code) << each.place << ": " << error.to_string();
    EXPECT_EQ(error.place, each.place) << error.to_string();
  }
}

TEST_F(FrameworkEngine, AFolderThatIsNoModelIsAnErrorAndNoCrash) {
  auto options = tiny();
  options.path = folder_.path().string();
  EXPECT_EQ(load_error(options).code, ErrorCode::kCorrupt);
  testing::write_file(folder_ / "config.json", R"({"model_type": "mamba"})");
  EXPECT_EQ(load_error(options).code, ErrorCode::kUnsupported);
}

// The seed's mistake shows in what the back end says it holds, and in the next output.
TEST_F(FrameworkEngine, ALeakySharedCacheIsSeenAndNamed) {
  const auto texts = [&](bool leaky) {
    auto options = tiny();
    options.leaky = leaky;
    const auto made = builtin_engines().make(options);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
    if (!made.ok()) return std::vector<std::vector<Token>>();
    auto& engine = *made.value();
    EXPECT_EQ(engine.facts().engine, leaky ? "transformers (leaky)" : "transformers");
    EXPECT_EQ(engine.facts().grade, leaky ? Grade::kClaimed : Grade::kBuffer);
    const auto context = open_with(engine, "The pump failed.");
    const auto size = engine.inspect(context).value().tokens;
    std::vector<std::vector<Token>> outputs;
    for (int i = 0; i < 2; ++i) {
      const auto output = engine.fork(context, size, {.capacity_tokens = 128}).value().sequence;
      const auto prompt = engine.tokenizer().tokenize(" Report:").value();
      EXPECT_TRUE(engine.prefill(output, prompt).ok());
      const GenerateRequest request{output, greedy(8)};
      outputs.push_back(engine.generate({&request, 1})[0].value().tokens);
    }
    const auto state = engine.inspect(context).value();
    EXPECT_EQ(state.tokens, size);
    EXPECT_EQ(state.last_position == static_cast<std::int64_t>(size) - 1, !leaky);
    return outputs;
  };
  const auto sound = texts(false);
  const auto leaky = texts(true);
  ASSERT_TRUE(sound.size() == 2 && leaky.size() == 2);
  EXPECT_EQ(sound[0], sound[1]);
  EXPECT_EQ(leaky[0], sound[0]) << "the first output has seen nothing yet";
  EXPECT_NE(leaky[1], sound[1]) << "the second one was written with the first one's tokens in the cache";
}

// Gemma 2 caps its attention scores, torch's fused attention cannot.
TEST_F(FrameworkEngine, AttentionIsTheOneAskedForAndShowsInTheFacts) {
  const auto told = [](const std::string& family, const std::string& asked) {
    auto options = tiny(family);
    options.attention = asked;
    const auto made = builtin_engines().make(options);
    return made.ok() ? made.value()->facts().implementation.at("attention") : made.error().place;
  };
  EXPECT_EQ(told("llama", "auto"), "sdpa");
  EXPECT_EQ(told("llama", "eager"), "eager");
  EXPECT_EQ(told("gemma2", "auto"), "eager");
  EXPECT_EQ(told("gemma2", "sdpa"), "--attention");
  auto options = tiny();
  options.attention = "sdpa";
  options.flash_attention = false;
  EXPECT_EQ(load_error(options).place, "--attention");
}

TEST_F(FrameworkEngine, PositionsThatBeginAnewAreNamedAndChangeWhatIsComputed) {
  const auto scores = [&](const std::string& positions, const std::vector<std::string>& pieces) {
    auto options = tiny();
    options.positions = positions;
    const auto made = builtin_engines().make(options);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
    auto& engine = *made.value();
    EXPECT_EQ(engine.facts().engine, positions == "restart" ? "transformers (positions restart)" : "transformers");
    const auto id = engine.open({.capacity_tokens = 128}).value();
    for (const auto& piece : pieces) {
      EXPECT_TRUE(engine.prefill(id, engine.tokenizer().tokenize(piece).value()).ok());
    }
    EXPECT_EQ(engine.snapshot(id).ok(), positions == "continued");
    return engine.score(id, engine.tokenizer().tokenize(" report").value()).value();
  };
  const std::string first = "The pump failed at three bar.";
  const std::string second = "Write the report:";
  EXPECT_EQ(scores("restart", {first}), scores("continued", {first})) << "one piece begins at 0 in both";
  const auto right = scores("continued", {first, second});
  const auto wrong = scores("restart", {first, second});
  EXPECT_GT(std::abs(wrong[0] - right[0]), 1e-4);
  EXPECT_EQ(scores("restart", {first, second}), wrong);
}

TEST_F(FrameworkEngine, TypesAreKept) {
  auto options = tiny();
  options.dtype = "bf16";
  const auto made = builtin_engines().make(options);
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  EXPECT_EQ(made.value()->facts().kv_type_k, "bf16");
  EXPECT_EQ(made.value()->facts().kv_bytes_per_token, 6U * 2 * 64 * 2);
  const auto id = open_with(*made.value(), "harbour");
  const auto kept = made.value()->snapshot(id);
  ASSERT_TRUE(kept.ok());
  options.dtype = "f32";
  const auto other = builtin_engines().make(options);
  ASSERT_TRUE(other.ok());
  const auto restored = other.value()->restore(kept.value(), {.capacity_tokens = 64});
  EXPECT_EQ(restored.error().code, ErrorCode::kBadInput) << "another type does not fit";
}

}  // namespace
}  // namespace bulkhead::engines::worker
