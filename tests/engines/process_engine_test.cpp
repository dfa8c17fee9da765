// SPDX-License-Identifier: MIT
// What is particular to grade `process`: workers that die, hang or talk rubbish, and the price on a real model.
#include "engines/process/process_engine.h"

#include "children.h"
#include "desk/desk.h"
#include "engines/builtin.h"
#include "engines/real_models.h"
#include "engines/worker/frame.h"
#include "measure/process_memory.h"
#include "paths.h"
#include "temporary_folder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace bulkhead::engines::process {
namespace {

using bulkhead::testing::children;
using engine::Engine;
using engine::GenerateRequest;
using engine::SequenceId;
using engine::Token;
using ::testing::HasSubstr;
using worker::encode;
using worker::Frame;
using worker::FrameReader;
using worker::WorkerLink;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

const std::string kProgram = testing::build_folder() + "/src/bulkhead";

WorkerCommand worker(std::chrono::milliseconds answer = 60s) {
  WorkerCommand command;
  command.arguments = {kProgram, "worker"};
  command.answer = answer;
  return command;
}

WorkerCommand shell(const std::string& script) {
  WorkerCommand command;
  command.arguments = {"sh", "-c", script};
  command.handshake = 5s;
  return command;
}

ModelOptions fake_options() {
  ModelOptions options;
  options.engine = "fake";
  options.grade = Grade::kProcess;
  return options;
}

std::unique_ptr<Engine> make_fake(const WorkerCommand& command = worker()) {
  auto made = make_process_engine(fake_options(), command);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
  return made.ok() ? std::move(made).value() : nullptr;
}

Error start_error(const WorkerCommand& command) {
  const auto made = make_process_engine(fake_options(), command);
  EXPECT_FALSE(made.ok());
  return made.ok() ? Error{} : made.error();
}

// An open sequence, its process, and what was put in.
struct Member {
  SequenceId id;
  pid_t pid;
};

Member open_with(Engine& engine, std::string_view text, const std::set<pid_t>& before) {
  const auto id = engine.open({.capacity_tokens = 256}).value();
  const auto tokens = engine.tokenizer().tokenize(text).value();
  EXPECT_TRUE(engine.prefill(id, tokens).ok());
  pid_t pid = 0;
  for (const auto child : children()) {
    if (!before.contains(child)) pid = child;
  }
  return {id, pid};
}

GenerateOptions greedy(std::uint32_t count) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = count;
  options.ignore_end = true;
  options.hash_logits = true;
  return options;
}

std::vector<Token> tokens_alone(std::string_view text, std::uint32_t count) {
  const auto engine = make_fake();
  const GenerateRequest request{open_with(*engine, text, {}).id, greedy(count)};
  return engine->generate({&request, 1})[0].value().tokens;
}

TEST(ProcessEngine, EverySequenceHasAProcessThatEndsWithIt) {
  const auto before = children();
  {
    const auto engine = make_fake();
    EXPECT_EQ(children().size(), before.size() + 1) << "one is loaded from the beginning";
    const auto a = engine->open({.capacity_tokens = 16}).value();
    EXPECT_EQ(children().size(), before.size() + 1);
    const auto b = engine->open({.capacity_tokens = 16}).value();
    const auto c = engine->fork(b, 0, {.capacity_tokens = 16}).value().sequence;
    EXPECT_EQ(children().size(), before.size() + 3);
    EXPECT_TRUE(engine->close(b).ok());
    EXPECT_TRUE(engine->close(c).ok());
    EXPECT_EQ(children().size(), before.size() + 1);
    EXPECT_TRUE(engine->close(a).ok());
    EXPECT_EQ(children().size(), before.size() + 1) << "the first one also tokenizes";
    const auto most = engine->worker_memory().value();
    EXPECT_EQ(most.processes, 3U) << "those that were there at once, though they have ended";
    EXPECT_GT(most.peak_rss_bytes, 3U << 20U);
  }
  EXPECT_EQ(children(), before);
}

TEST(ProcessEngine, AKilledWorkerInMidGenerationTakesOnlyItsOwnSequenceAlong) {
  const auto nobody = children();
  const auto engine = make_fake();
  const auto a = open_with(*engine, "harbour", nobody);
  const auto b = open_with(*engine, "bread", children());
  auto first = greedy(10);
  first.on_token = [&](const TokenEvent& event) {
    if (event.index == 2) ::kill(a.pid, SIGKILL);
    return true;
  };
  const std::vector<GenerateRequest> requests = {{a.id, first}, {b.id, greedy(10)}};
  const auto results = engine->generate(requests);
  ASSERT_FALSE(results[0].ok());
  EXPECT_EQ(results[0].error().code, ErrorCode::kRemote);
  EXPECT_THAT(results[0].error().message, HasSubstr("exit code 137"));
  EXPECT_THAT(results[0].error().message, HasSubstr(std::to_string(a.pid)));
  ASSERT_TRUE(results[1].ok()) << results[1].error().to_string();
  EXPECT_EQ(results[1].value().tokens, tokens_alone("bread", 10));
  EXPECT_EQ(engine->inspect(a.id).error().code, ErrorCode::kClosed);
  EXPECT_TRUE(engine->close(a.id).ok());
  EXPECT_TRUE(engine->inspect(b.id).ok());
  EXPECT_TRUE(engine->tokenizer().tokenize("it was the one that tokenized").ok());
  EXPECT_TRUE(engine->open({.capacity_tokens = 16}).ok());
}

TEST(ProcessEngine, AHungWorkerIsGivenUpAndTheOthersGoOn) {
  const auto nobody = children();
  const auto engine = make_fake(worker(700ms));
  const auto a = open_with(*engine, "harbour", nobody);
  const auto b = open_with(*engine, "bread", children());
  ::kill(a.pid, SIGSTOP);
  const auto begin = Clock::now();
  const std::vector<GenerateRequest> requests = {{a.id, greedy(5)}, {b.id, greedy(5)}};
  const auto results = engine->generate(requests);
  EXPECT_LT(Clock::now() - begin, 10s);
  ASSERT_FALSE(results[0].ok());
  EXPECT_THAT(results[0].error().message, HasSubstr("silent for 700 ms"));
  ASSERT_TRUE(results[1].ok());
  EXPECT_EQ(results[1].value().tokens.size(), 5U);
  // And outside a generation.
  ::kill(b.pid, SIGSTOP);
  const auto prefilled = engine->prefill(b.id, std::vector<Token>{1, 2, 3});
  ASSERT_FALSE(prefilled.ok());
  EXPECT_THAT(prefilled.error().message, HasSubstr("silent for 700 ms"));
  EXPECT_EQ(engine->prefill(b.id, std::vector<Token>{1}).error().code, ErrorCode::kClosed);
}

std::size_t drawn(const std::vector<engine::JobEvent>& events, engine::JobId job) {
  return static_cast<std::size_t>(std::count_if(events.begin(), events.end(), [&](const auto& event) {
    return event.job == job && std::holds_alternative<engine::Drawn>(event.what);
  }));
}

// Nothing as long as it runs.
const Result<engine::JobResult>* outcome_of(const std::vector<engine::JobEvent>& events, engine::JobId job) {
  for (const auto& event : events) {
    const auto* outcome = std::get_if<Result<engine::JobResult>>(&event.what);
    if (outcome != nullptr && event.job == job) return outcome;
  }
  return nullptr;
}

TEST(ProcessEngine, AJobJoinsWhileAnotherRuns) {
  const auto engine = make_fake();
  const auto text = [&](std::string_view words) { return engine->tokenizer().tokenize(words).value(); };
  const auto open = [&] { return engine->open({.capacity_tokens = 3000}).value(); };
  const auto first =
      engine->submit({.sequence = open(), .prefill = text("harbour"), .generate = greedy(2500), .cancel = {}}).value();
  std::vector<engine::JobEvent> events;
  while (drawn(events, first) < 3) engine->advance({}, events);
  const auto late =
      engine->submit({.sequence = open(), .prefill = text("bread"), .generate = greedy(5), .cancel = {}}).value();
  while (outcome_of(events, late) == nullptr) engine->advance({}, events);
  ASSERT_EQ(outcome_of(events, first), nullptr) << "it has to wait for the one before it";
  EXPECT_EQ(outcome_of(events, late)->value().generated.tokens, tokens_alone("bread", 5));
  while (engine->running_jobs() > 0) engine->advance({}, events);
  const auto& result = outcome_of(events, first)->value().generated;
  ASSERT_EQ(result.tokens.size(), 2500U);
  const std::vector<Token> beginning(result.tokens.begin(), result.tokens.begin() + 10);
  EXPECT_EQ(beginning, tokens_alone("harbour", 10));
}

TEST(ProcessEngine, AJobWhoseWorkerDiesFailsAndTheOthersGoOn) {
  const auto nobody = children();
  const auto engine = make_fake();
  const auto a = open_with(*engine, "harbour", nobody);
  const auto b = open_with(*engine, "bread", children());
  const auto dies = engine->submit({.sequence = a.id, .prefill = {}, .generate = greedy(200), .cancel = {}}).value();
  const auto lives = engine->submit({.sequence = b.id, .prefill = {}, .generate = greedy(10), .cancel = {}}).value();
  std::vector<engine::JobEvent> events;
  while (drawn(events, dies) < 2) engine->advance({}, events);
  ::kill(a.pid, SIGKILL);
  while (engine->running_jobs() > 0) engine->advance({}, events);
  ASSERT_FALSE(outcome_of(events, dies)->ok());
  EXPECT_EQ(outcome_of(events, dies)->error().code, ErrorCode::kRemote);
  EXPECT_THAT(outcome_of(events, dies)->error().message, HasSubstr("exit code 137"));
  EXPECT_EQ(engine->inspect(a.id).error().code, ErrorCode::kClosed);
  ASSERT_TRUE(outcome_of(events, lives)->ok());
  EXPECT_EQ(outcome_of(events, lives)->value().generated.tokens, tokens_alone("bread", 10));
}

TEST(ProcessEngine, AWakeReturnsAnAdvanceThatWaits) {
  const auto engine = make_fake();
  const auto a = open_with(*engine, "harbour", children());
  const auto pid = *children().rbegin();
  ::kill(pid, SIGSTOP);
  const auto job = engine->submit({.sequence = a.id, .prefill = {}, .generate = greedy(5), .cancel = {}}).value();
  std::vector<engine::JobEvent> events;
  const auto begin = Clock::now();
  {
    const std::jthread other([&] {
      std::this_thread::sleep_for(300ms);
      engine->wake();
    });
    engine->advance({}, events);
  }
  EXPECT_GE(Clock::now() - begin, 250ms) << "it did not wait";
  EXPECT_LT(Clock::now() - begin, 20s) << "the limit of silence is a minute";
  engine->wake();
  engine->advance({}, events);
  EXPECT_LT(Clock::now() - begin, 20s) << "a wake before its time was lost";
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(engine->running_jobs(), 1U);
  ::kill(pid, SIGCONT);
  while (engine->running_jobs() > 0) engine->advance({}, events);
  EXPECT_EQ(outcome_of(events, job)->value().generated.tokens, tokens_alone("harbour", 5));
}

// Nobody waits for a step of another's worker: not with a call, not with a cancel.
TEST(ProcessEngine, ADeskInFrontTakesCallsWhileAWorkerIsSlow) {
  const auto before = children();
  const auto desk = desk::Desk::open(make_fake());
  desk->set_budget("anna", {.kv_bytes = 0, .sequences = 0, .jobs = 1});
  const auto anna = desk->client("anna");
  const auto words = anna->tokenizer().tokenize("harbour").value();
  const auto slow = anna->open({.capacity_tokens = 64}).value();
  std::set<pid_t> made;
  for (const auto child : children()) {
    if (!before.contains(child)) made.insert(child);
  }
  ASSERT_EQ(made.size(), 1U);
  const auto waits = anna->open({.capacity_tokens = 64}).value();
  ::kill(*made.begin(), SIGSTOP);
  ASSERT_TRUE(anna->submit({.sequence = slow, .prefill = words, .generate = greedy(3), .cancel = {}}).ok());
  std::this_thread::sleep_for(200ms);
  const auto begin = Clock::now();
  EXPECT_EQ(desk->status().running, 1U);
  std::stop_source stop;
  const std::jthread other([&] {
    std::this_thread::sleep_for(200ms);
    stop.request_stop();
  });
  EXPECT_EQ(anna->prefill(waits, words, stop.get_token()).error().code, ErrorCode::kInterrupted);
  EXPECT_LT(Clock::now() - begin, 20s) << "it waited for the step";
  ::kill(*made.begin(), SIGCONT);
  std::vector<engine::JobEvent> events;
  while (anna->running_jobs() > 0) anna->advance({}, events);
  const auto& outcome = std::get<Result<engine::JobResult>>(events.back().what);
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_EQ(outcome.value().generated.tokens, tokens_alone("harbour", 3));
}

TEST(ProcessEngine, RubbishIsAnErrorAtOnce) {
  const auto begin = Clock::now();
  const auto error = start_error(shell("printf 'Hel'; exec sleep 60"));
  EXPECT_LT(Clock::now() - begin, 4s) << "three wrong bytes are enough";
  EXPECT_EQ(error.code, ErrorCode::kRemote);
  EXPECT_THAT(error.message, HasSubstr("not the worker protocol"));
  EXPECT_THAT(error.message, HasSubstr("Hel"));
}

TEST(ProcessEngine, AnotherVersionIsRefusedWithBothNumbers) {
  const testing::TemporaryFolder folder;
  const auto bytes = encode({{"id", 1}, {"ok", {{"protocol", 99}}}}, {});
  testing::write_file(folder / "hello", std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  // Answers when it is asked, not before.
  const auto error =
      start_error(shell("head -c 1 >/dev/null; cat '" + (folder / "hello").string() + "'; exec sleep 60"));
  EXPECT_EQ(error.code, ErrorCode::kRemote);
  EXPECT_THAT(error.message, HasSubstr("version 99"));
  EXPECT_THAT(error.message, HasSubstr("this program speaks 2"));
}

// A program that shakes hands and, once it has read the first byte of a request, tells of five chunks, one each half
// second; then it answers, or says nothing more.
WorkerCommand slow_score(const testing::TemporaryFolder& folder, bool answers) {
  const auto keep = [&](const std::string& name, const Json& head) {
    const auto bytes = encode(head, {});
    testing::write_file(folder / name, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    return fmt::format("cat '{}'; ", (folder / name).string());
  };
  const auto hello = encode({{"do", "hello"}, {"id", 1}, {"protocol", worker::kProtocolVersion}}, {}).size();
  auto script = fmt::format("head -c {} >/dev/null; ", hello);
  script += keep("hello", {{"id", 1}, {"ok", {{"protocol", worker::kProtocolVersion}}}});
  script += "head -c 1 >/dev/null; ";
  for (int chunk = 1; chunk <= 5; ++chunk) {
    script += "sleep 0.5; ";
    script += keep(fmt::format("chunk{}", chunk), {{"id", 2}, {"progress", {{"tokens", 64 * chunk}}}});
  }
  const auto answer = keep("answer", {{"id", 2}, {"ok", {{"scores", 320}}}});
  return shell(script + (answers ? answer : std::string()) + "exec sleep 60");
}

TEST(ProcessEngine, AChunkComputedBreaksTheSilence) {
  const testing::TemporaryFolder folder;
  auto command = slow_score(folder, true);
  command.answer = 2s;  // all chunks take longer, each one much less
  const auto link = WorkerLink::start(command);
  ASSERT_TRUE(link.ok()) << link.error().to_string();
  const auto begin = Clock::now();
  const auto answer = link.value()->call({{"do", "score"}}, {}, {.events = 320});
  ASSERT_TRUE(answer.ok()) << answer.error().to_string();
  EXPECT_GT(Clock::now() - begin, 2s);
  EXPECT_EQ(answer.value().head.root()["ok"]["scores"], 320);
}

TEST(ProcessEngine, SilenceAfterSomeChunksIsStillAHang) {
  const testing::TemporaryFolder folder;
  auto command = slow_score(folder, false);
  command.answer = 2s;
  const auto link = WorkerLink::start(command);
  ASSERT_TRUE(link.ok()) << link.error().to_string();
  const auto begin = Clock::now();
  const auto answer = link.value()->call({{"do", "score"}}, {}, {.events = 320});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, ErrorCode::kRemote);
  EXPECT_THAT(answer.error().message, HasSubstr("silent for 2000 ms"));
  EXPECT_GT(Clock::now() - begin, 4s) << "the chunks it told of are no silence";
  EXPECT_LT(Clock::now() - begin, 30s);
}

TEST(ProcessEngine, ASilentHandshakeTimesOut) {
  auto command = shell("exec sleep 60");
  command.handshake = 300ms;
  const auto begin = Clock::now();
  EXPECT_THAT(start_error(command).message, HasSubstr("did not say its version within 300 ms"));
  EXPECT_LT(Clock::now() - begin, 10s);
}

TEST(ProcessEngine, LastWordsAreInTheMessage) {
  const auto error = start_error(shell("echo 'the disk is on fire' >&2; exit 3"));
  EXPECT_EQ(error.code, ErrorCode::kRemote);
  EXPECT_THAT(error.message, HasSubstr("exit code 3"));
  EXPECT_THAT(error.message, HasSubstr("the disk is on fire"));
  EXPECT_THAT(start_error(shell("printf 'BHWP\\001'; exit 0")).message, HasSubstr("in the middle of an answer"));
  EXPECT_THAT(start_error({.arguments = {"bulkhead-no-such-program"}}).message, HasSubstr("cannot start"));
}

TEST(ProcessEngine, ErrorsOfTheEngineInsideKeepTheirCodes) {
  auto options = fake_options();
  options.path = "mutant:none of that name";
  EXPECT_EQ(make_process_engine(options, worker()).error().code, ErrorCode::kUsage);
  options.engine = "steam";
  EXPECT_THAT(make_process_engine(options, worker()).error().message, HasSubstr("unknown engine \"steam\""));
}

TEST(ProcessEngine, AnotherProgramMustNameBulkhead) {
  ::unsetenv("BULKHEAD_PROGRAM");
  const auto none = worker_command();
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kUsage);
  EXPECT_EQ(none.error().place, "BULKHEAD_PROGRAM");
  ::setenv("BULKHEAD_PROGRAM", kProgram.c_str(), 1);
  EXPECT_EQ(worker_command().value().arguments.front(), kProgram);
}

TEST(WorkerProtocol, OddRequestsAreErrorsAndTheWorkerGoesOn) {
  const auto link = WorkerLink::start(worker());
  ASSERT_TRUE(link.ok()) << link.error().to_string();
  auto& worker = *link.value();
  EXPECT_THAT(worker.call({{"do", "open"}}).error().message, HasSubstr("no engine is loaded"));
  EXPECT_EQ(worker.call({{"do", "load"}}).error().code, ErrorCode::kBadInput);
  const Json options = {
      {"path", ""},         {"engine", "fake"},   {"grade", "buffer"},       {"context_tokens", 0},
      {"threads", 0},       {"gpu_layers", 0},    {"flash_attention", true}, {"full_window_cache", false},
      {"kv_type_k", "f16"}, {"kv_type_v", "f16"}, {"kernels", "auto"},       {"isolation", "strict"}};
  ASSERT_TRUE(worker.call({{"do", "load"}, {"options", options}}).ok());
  EXPECT_EQ(worker.call({{"do", "dance"}}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(worker.call({{"do", "score"}, {"sequence", 0}}).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(worker.call({{"do", "score"}, {"sequence", "x"}, {"tokens", {1}}}).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(worker.call({{"do", "job"}, {"sequence", 0}, {"tokens", {1}}}).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(worker.call({{"do", "close"}, {"sequence", 7}}).error().code, ErrorCode::kClosed);
  EXPECT_EQ(worker.call({{"do", "open"}, {"capacity_tokens", 8}}).value().head.root()["ok"]["sequence"], 0);
}

TEST(FrameReader, PutsFramesTogetherByteByByte) {
  const std::vector<std::byte> tail = {std::byte{1}, std::byte{0}, std::byte{255}};
  auto bytes = encode({{"id", 7}}, tail);
  const auto second = encode({{"id", 8}}, {});
  bytes.insert(bytes.end(), second.begin(), second.end());
  FrameReader reader("a frame");
  std::vector<Frame> frames;
  for (const auto byte : bytes) {
    reader.add({&byte, 1});
    auto frame = reader.next();
    ASSERT_TRUE(frame.ok());
    if (frame.value()) frames.push_back(std::move(*frame.value()));
  }
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].head.root()["id"], 7);
  EXPECT_EQ(frames[0].tail, tail);
  EXPECT_EQ(frames[1].head.root()["id"], 8);
  EXPECT_FALSE(reader.unfinished());
}

TEST(FrameReader, LengthsBeyondReasonAreNotWaitedFor) {
  auto bytes = encode({{"id", 7}}, {});
  bytes[15] = std::byte{255};
  FrameReader reader("a frame");
  reader.add(bytes);
  EXPECT_EQ(reader.next().error().code, ErrorCode::kRemote);
}

// Resident bytes of a process, as Linux counts them.
std::uint64_t resident(pid_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

struct Price {
  double seconds = 0;
  std::uint64_t bytes = 0;
  std::vector<engine::GenerateResult> results;
};

// Three topics: prefill, a fork of the first in its middle, and 24 tokens of all four at once.
Price run_topics(Grade grade) {
  const auto before = measure::process_memory().current_bytes;
  const auto begin = Clock::now();
  ModelOptions options;
  options.grade = grade;
  options.context_tokens = 1024;
  auto made = testing::load_llama(testing::kGemma, options);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
  if (!made.ok()) return {};
  auto& engine = *made.value();
  EXPECT_TRUE(engine.reserve(4, 256).ok());
  std::vector<GenerateRequest> requests;
  for (const auto* text : {"The lighthouse keeper counted the ships each evening. On Monday there were",
                           "A recipe for bread needs flour, water and", "The pump failed at 3 bar. The cause was"}) {
    const auto id = engine.open({.capacity_tokens = 256}).value();
    EXPECT_TRUE(engine.prefill(id, engine.tokenizer().tokenize(text).value()).ok());
    requests.push_back({id, greedy(24)});
  }
  requests.push_back({engine.fork(requests[0].sequence, 6, {.capacity_tokens = 256}).value().sequence, greedy(24)});
  Price price;
  for (auto& result : engine.generate(requests)) {
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().to_string());
    if (result.ok()) price.results.push_back(std::move(result).value());
  }
  price.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const auto now = measure::process_memory().current_bytes;
  price.bytes = now > before ? now - before : 0;
  for (const auto child : children()) price.bytes += resident(child);
  return price;
}

TEST(ModelProcess, TheSameBitsAsPartitionsOfOneModelAtAnotherPrice) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  ::setenv("BULKHEAD_PROGRAM", kProgram.c_str(), 1);
  const auto processes = run_topics(Grade::kProcess);
  const auto partitions = run_topics(Grade::kBuffer);
  ASSERT_EQ(processes.results.size(), 4U);
  ASSERT_EQ(partitions.results.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(processes.results[i].tokens, partitions.results[i].tokens) << i;
    EXPECT_EQ(processes.results[i].logit_hashes, partitions.results[i].logit_hashes) << i;
    EXPECT_EQ(processes.results[i].logit_hashes.size(), 24U);
  }
  EXPECT_GT(processes.bytes, 2 * partitions.bytes) << "four sets of weights against one";
  for (const auto& [name, price] : {std::pair("process", &processes), std::pair("buffer", &partitions)}) {
    std::cout << fmt::format("  grade {}: 4 partitions, 24 tokens each: {:.2f} s with loading, {} MiB\n", name,
                             price->seconds, price->bytes >> 20U);
  }
}

}  // namespace
}  // namespace bulkhead::engines::process
