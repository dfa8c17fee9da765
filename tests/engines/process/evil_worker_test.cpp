// SPDX-License-Identifier: MIT
// Workers that do wrong (misbehaviours.h), as real children: this process lives, the call gives the right error within
// its time, that one sequence is as the seam says, the others go on, and another one can be opened.
#include "engines/process/misbehaviours.h"
#include "engines/process/process_engine.h"
#include "engines/worker/framework_engine.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <vector>

namespace bulkhead::testing {

void PrintTo(const Misbehaviour& misbehaviour, std::ostream* out) {
  *out << misbehaviour.name;
}

namespace {

using engine::Engine;
using engine::GenerateRequest;
using engine::SequenceId;
using engine::Token;
using engines::process::make_process_engine;
using engines::process::WorkerCommand;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::uint32_t kTokens = 6;
// What all of it may take in memory: far below what an endless frame would.
constexpr rlim_t kMostMemory = rlim_t{4} << 30U;

WorkerCommand command_of(std::string_view name, const TemporaryFolder& folder, bool silent) {
  WorkerCommand command;
  command.arguments = {build_folder() + "/tests/bulkhead_evil_worker", std::string(name), (folder / "mark").string()};
  command.handshake = silent ? 2s : 60s;
  command.answer = silent ? 2s : 60s;
  return command;
}

ModelOptions fake_options() {
  ModelOptions options;
  options.engine = "fake";
  options.grade = Grade::kProcess;
  return options;
}

GenerateOptions greedy() {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = kTokens;
  options.ignore_end = true;
  options.hash_logits = true;
  return options;
}

const std::vector<Token> kHarbour = {'h', 'a', 'r', 'b', 'o', 'u', 'r'};
const std::vector<Token> kBread = {'b', 'r', 'e', 'a', 'd'};

// What one sequence draws, alone and with an honest worker.
const std::vector<Token>& drawn_after_bread() {
  static const auto drawn = [] {
    const TemporaryFolder folder;
    const auto engine = make_process_engine(fake_options(), command_of("honest", folder, false)).value();
    const auto id = engine->open({.capacity_tokens = 64}).value();
    EXPECT_TRUE(engine->prefill(id, kBread).ok());
    const GenerateRequest request{id, greedy()};
    return engine->generate({&request, 1})[0].value().tokens;
  }();
  return drawn;
}

class EvilWorker : public ::testing::TestWithParam<Misbehaviour> {
 protected:
  void SetUp() override {
    static_cast<void>(drawn_after_bread());
    begin_ = Clock::now();
  }
  void TearDown() override { EXPECT_LT(Clock::now() - begin_, 40s) << "every wait has a limit"; }

  [[nodiscard]] WorkerCommand command() const { return command_of(GetParam().name, folder_, GetParam().silent); }
  [[nodiscard]] bool asks(std::string_view request) const { return GetParam().request == request; }

  void expect_told(const Error& error) const {
    EXPECT_EQ(error.code, GetParam().code) << error.to_string();
    EXPECT_THAT(error.message, HasSubstr(std::string(GetParam().says)));
    EXPECT_LT(error.to_string().size(), 16'000U) << "a message is not a dump";
    EXPECT_EQ(error.to_string().find('\x1b'), std::string::npos) << "nothing that a terminal would obey";
  }

  // The call at which the misbehaviour is met; the rest of a conversation is as ever.
  [[nodiscard]] Result<void> provoke(Engine& engine, SequenceId evil) const;
  static void expect_poisoned(const Engine& engine, SequenceId evil) {
    const auto after = engine.inspect(evil);
    ASSERT_FALSE(after.ok());
    EXPECT_THAT(after.error().code, ::testing::AnyOf(ErrorCode::kClosed, ErrorCode::kRemote));
    EXPECT_EQ(engine.inspect(evil).error().code, ErrorCode::kClosed) << "poisoned";
  }
  void expect_the_others_go_on(Engine& engine, SequenceId other) const;

  TemporaryFolder folder_;
  Clock::time_point begin_;
};

Result<void> EvilWorker::provoke(Engine& engine, SequenceId evil) const {
  const auto outcome = [](const auto& result) { return result.ok() ? Result<void>() : Result<void>(result.error()); };
  if (asks("tokenize")) return outcome(engine.tokenizer().tokenize("ab"));
  // An answer too many is met by the next call.
  if (asks("inspect") || asks("prefill")) return outcome(engine.inspect(evil));
  if (asks("state_hash")) return outcome(engine.state_hash(evil));
  if (asks("score")) return outcome(engine.score(evil, kBread));
  if (asks("snapshot"))
    return outcome(engine.fork(evil, static_cast<std::uint32_t>(kHarbour.size()), {.capacity_tokens = 64}));
  if (asks("memory")) {
    EXPECT_TRUE(engine.worker_memory().ok()) << "a figure that is missing is no failure";
  }
  return outcome(engine.prefill(evil, kBread));
}

void EvilWorker::expect_the_others_go_on(Engine& engine, SequenceId other) const {
  const GenerateRequest request{other, greedy()};
  const auto drawn = engine.generate({&request, 1});
  ASSERT_TRUE(drawn[0].ok()) << drawn[0].error().to_string();
  EXPECT_EQ(drawn[0].value().tokens, drawn_after_bread());
  const auto again = engine.open({.capacity_tokens = 64});
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_TRUE(engine.prefill(again.value(), kBread).ok());
  EXPECT_TRUE(engine.close(again.value()).ok());
  EXPECT_TRUE(engine.tokenizer().tokenize("ab").ok()) << "another worker answers for the tokenizer";
}

TEST_P(EvilWorker, CostsItsOwnSequenceAndNothingElse) {
  auto made = make_process_engine(fake_options(), command());
  const std::set<std::string_view> before_it_is_made = {"start", "hello", "load", "vocabulary"};
  if (before_it_is_made.contains(GetParam().request)) {
    ASSERT_FALSE(made.ok());
    expect_told(made.error());
    // The next one is honest.
    EXPECT_TRUE(make_process_engine(fake_options(), command_of("honest", folder_, false)).ok());
    return;
  }
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  auto& engine = *made.value();
  if (asks("bytes_for")) {
    // Asked while a sequence is opened, and an estimate is made without it: the worker is replaced.
    const auto opened = engine.open({.capacity_tokens = 64});
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    EXPECT_TRUE(engine.prefill(opened.value(), kBread).ok());
    return expect_the_others_go_on(engine, opened.value());
  }
  const auto evil = engine.open({.capacity_tokens = 64});
  const auto other = engine.open({.capacity_tokens = 64});
  ASSERT_TRUE(other.ok()) << other.error().to_string();
  ASSERT_TRUE(engine.prefill(other.value(), kBread).ok());
  if (asks("open") || asks("reserve")) {
    ASSERT_FALSE(evil.ok());
    expect_told(evil.error());
    return expect_the_others_go_on(engine, other.value());
  }
  ASSERT_TRUE(evil.ok()) << evil.error().to_string();
  const auto filled = engine.prefill(evil.value(), kHarbour);
  if (asks("generate")) {
    ASSERT_TRUE(filled.ok());
    const std::vector<GenerateRequest> requests = {{evil.value(), greedy()}, {other.value(), greedy()}};
    const auto results = engine.generate(requests);
    ASSERT_FALSE(results[0].ok());
    expect_told(results[0].error());
    ASSERT_TRUE(results[1].ok()) << results[1].error().to_string();
    EXPECT_EQ(results[1].value().tokens, drawn_after_bread());
  } else {
    const auto told = filled.ok() ? provoke(engine, evil.value()) : Result<void>(filled.error());
    ASSERT_FALSE(told.ok());
    expect_told(told.error());
  }
  const bool refused_by_the_next_worker = asks("snapshot") && GetParam().code == ErrorCode::kCorrupt;
  if (!refused_by_the_next_worker) expect_poisoned(engine, evil.value());
  EXPECT_TRUE(engine.close(evil.value()).ok());
  if (!asks("generate")) expect_the_others_go_on(engine, other.value());
}

class EvilGeneration : public EvilWorker {};

// With callbacks, workers go step by step, and one that breaks the step must not hold up the others.
TEST_P(EvilGeneration, DoesNotHoldUpTheCallbacksOfOthers) {
  const auto made = make_process_engine(fake_options(), command());
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  auto& engine = *made.value();
  const auto evil = engine.open({.capacity_tokens = 64}).value();
  const auto other = engine.open({.capacity_tokens = 64}).value();
  ASSERT_TRUE(engine.prefill(evil, kHarbour).ok());
  ASSERT_TRUE(engine.prefill(other, kBread).ok());
  auto watched = greedy();
  std::vector<Token> seen;
  watched.on_token = [&](const TokenEvent& event) {
    seen.push_back(event.token);
    return true;
  };
  const std::vector<GenerateRequest> requests = {{evil, greedy()}, {other, watched}};
  const auto results = engine.generate(requests);
  ASSERT_FALSE(results[0].ok());
  expect_told(results[0].error());
  ASSERT_TRUE(results[1].ok()) << results[1].error().to_string();
  EXPECT_EQ(results[1].value().tokens, drawn_after_bread());
  EXPECT_EQ(seen, drawn_after_bread());
}

// Jobs of two workers side by side, with a question in between.
class EvilJob : public EvilWorker {
 protected:
  void run_to_the_end(Engine& engine) {
    std::vector<engine::JobEvent> events;
    for (int step = 0; engine.running_jobs() > 0 && step < 1000; ++step) engine.advance({}, events);
    ASSERT_EQ(engine.running_jobs(), 0U);
    for (auto& event : events) {
      EXPECT_FALSE(outcomes_.contains(event.job)) << "told of after its end";
      auto* outcome = std::get_if<Result<engine::JobResult>>(&event.what);
      if (outcome != nullptr) outcomes_.emplace(event.job, std::move(*outcome));
    }
  }

  std::map<engine::JobId, Result<engine::JobResult>> outcomes_;
};

engine::Job job_of(SequenceId id, const std::vector<Token>& prefill) {
  auto options = greedy();
  options.speculate = false;
  return {.sequence = id, .prefill = prefill, .generate = options, .cancel = {}};
}

TEST_P(EvilJob, FailsAndTheOtherJobsGoOn) {
  const auto made = make_process_engine(fake_options(), command());
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  auto& engine = *made.value();
  const auto evil = engine.open({.capacity_tokens = 64}).value();
  const auto other = engine.open({.capacity_tokens = 64}).value();
  const auto evil_job = engine.submit(job_of(evil, kHarbour)).value();
  const auto other_job = engine.submit(job_of(other, kBread)).value();
  if (asks("inspect")) {
    std::vector<engine::JobEvent> events;
    const auto has_drawn = [&](const engine::JobEvent& event) {
      return event.job == evil_job && std::holds_alternative<engine::Drawn>(event.what);
    };
    while (std::none_of(events.begin(), events.end(), has_drawn)) engine.advance({}, events);
    EXPECT_TRUE(engine.inspect(evil).ok()) << "what comes with it is met in the next step";
  }
  run_to_the_end(engine);
  const auto& told = outcomes_.at(evil_job);
  ASSERT_EQ(told.ok(), GetParam().late);
  expect_told(told.ok() ? engine.inspect(evil).error() : told.error());
  const auto& result = outcomes_.at(other_job);
  ASSERT_TRUE(result.ok()) << result.error().to_string();
  EXPECT_EQ(result.value().generated.tokens, drawn_after_bread());
  expect_poisoned(engine, evil);
  EXPECT_TRUE(engine.close(evil).ok());
  const auto again = engine.open({.capacity_tokens = 64}).value();
  ASSERT_TRUE(engine.prefill(again, kBread).ok());
  expect_the_others_go_on(engine, again);
}

// From here on this process may not take more: an endless frame would end it.
class LimitedMemory : public ::testing::Environment {
 public:
  void SetUp() override {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const rlimit limit{kMostMemory, kMostMemory};
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
#endif
  }
};

const auto* const kLimitedMemory = ::testing::AddGlobalTestEnvironment(new LimitedMemory);

INSTANTIATE_TEST_SUITE_P(All, EvilWorker, ::testing::ValuesIn(misbehaviours()),
                         [](const auto& one) { return std::string(one.param.name); });

std::vector<Misbehaviour> of_generations() {
  std::vector<Misbehaviour> some;
  std::copy_if(misbehaviours().begin(), misbehaviours().end(), std::back_inserter(some),
               [](const auto& one) { return one.request == "generate"; });
  return some;
}

INSTANTIATE_TEST_SUITE_P(All, EvilGeneration, ::testing::ValuesIn(of_generations()),
                         [](const auto& one) { return std::string(one.param.name); });

INSTANTIATE_TEST_SUITE_P(All, EvilJob, ::testing::ValuesIn(misbehaviours_in_jobs()),
                         [](const auto& one) { return std::string(one.param.name); });

// A worker of all sequences that gives one id twice would let two partitions share a cache.
TEST(EvilWorkers, CannotGiveOneSequenceToTwo) {
  const auto& misbehaviour = misbehaviours_of_many()[0];
  const TemporaryFolder folder;
  auto options = fake_options();
  options.grade = Grade::kBuffer;
  const auto engine =
      engines::worker::make_framework_engine(options, command_of(misbehaviour.name, folder, false)).value();
  const auto first = engine->open({.capacity_tokens = 16});
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  const auto second = engine->open({.capacity_tokens = 16});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, misbehaviour.code);
  EXPECT_THAT(second.error().message, HasSubstr(std::string(misbehaviour.says)));
  EXPECT_EQ(engine->prefill(first.value(), kBread).error().code, ErrorCode::kRemote) << "it lived there";
  EXPECT_TRUE(engine->open({.capacity_tokens = 16}).ok()) << "in the next worker";
}

TEST(EvilWorkers, CannotComeWithAnotherModelTheSecondTime) {
  const auto& misbehaviour = misbehaviours_of_many()[1];
  const TemporaryFolder folder;
  const auto engine = make_process_engine(fake_options(), command_of(misbehaviour.name, folder, false)).value();
  const auto first = engine->open({.capacity_tokens = 64});
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  const auto second = engine->open({.capacity_tokens = 64});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, misbehaviour.code);
  EXPECT_THAT(second.error().message, HasSubstr(std::string(misbehaviour.says)));
  ASSERT_TRUE(engine->prefill(first.value(), kBread).ok());
  const GenerateRequest request{first.value(), greedy()};
  EXPECT_EQ(engine->generate({&request, 1})[0].value().tokens, drawn_after_bread());
}

TEST(EvilWorkers, CannotDrawAfterACancel) {
  const auto& misbehaviour = misbehaviours_of_many()[2];
  const TemporaryFolder folder;
  const auto engine = make_process_engine(fake_options(), command_of(misbehaviour.name, folder, false)).value();
  const auto id = engine->open({.capacity_tokens = 64}).value();
  const auto job = engine->submit(job_of(id, kHarbour)).value();
  std::vector<engine::JobEvent> events;
  while (events.size() < 3) engine->advance({}, events);  // two tokens of six
  engine->cancel(job);
  for (int step = 0; engine->running_jobs() > 0 && step < 100; ++step) engine->advance({}, events);
  const auto& outcome = std::get<Result<engine::JobResult>>(events.back().what);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, misbehaviour.code);
  EXPECT_THAT(outcome.error().message, HasSubstr(std::string(misbehaviour.says)));
}

// Five chunks, each half a second after the one before: what is told breaks the silence.
TEST(EvilWorkers, MayBeSlowerThanTheLimitOfSilenceAsLongAsTheyTell) {
  const auto& misbehaviour = misbehaviours_of_many()[3];
  const TemporaryFolder folder;
  auto command = command_of(misbehaviour.name, folder, false);
  command.answer = 2s;
  const auto engine = make_process_engine(fake_options(), command).value();
  const auto id = engine->open({.capacity_tokens = 400}).value();
  std::vector<std::uint32_t> progress;
  const auto begin = Clock::now();
  const auto done =
      engine->prefill(id, std::vector<Token>(320, 'x'), {}, [&](std::uint32_t tokens) { progress.push_back(tokens); });
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_GT(Clock::now() - begin, 2s);
  EXPECT_GT(done.value().time, 2s);
  EXPECT_EQ(progress, (std::vector<std::uint32_t>{64, 128, 192, 256, 320}));
}

TEST(EvilWorkers, AreAtLeastFortyFiveAndAllDifferent) {
  std::set<std::string_view> names;
  for (const auto& one : misbehaviours()) names.insert(one.name);
  EXPECT_EQ(names.size(), misbehaviours().size());
  EXPECT_GE(names.size(), 45U);
  const auto before = names.size();
  for (const auto& one : misbehaviours_in_jobs()) names.insert(one.name);
  EXPECT_EQ(names.size(), before + misbehaviours_in_jobs().size());
}

}  // namespace
}  // namespace bulkhead::testing
