// SPDX-License-Identifier: MIT
// Threads that come and go, fork, cut, cancel and park, for a long time, on a real engine: nothing is lost, nothing is
// stuck, nothing leaks, everybody gets a fair share, and every text is what it would be alone.
//
// BULKHEAD_SOAK_STEPS: so many steps of the engine (default: few); BULKHEAD_SOAK_MODEL: a GGUF file (default: a tiny
// model of noise). scripts/soak.sh runs the long form and keeps its figures.
#include "base/json.h"
#include "desk/desk.h"
#include "engine/job_engine.h"
#include "engines/builtin.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::desk {
namespace {

using engine::Engine;
using engine::GenerateRequest;
using engine::GenerateResult;
using engine::JobEvent;
using engine::JobResult;
using engine::SequenceId;
using engine::Token;
using Finish = GenerateResult::Finish;

constexpr std::uint32_t kCapacity = 256;
constexpr std::uint32_t kKnown = 120;  // tokens behind each prompt that were drawn alone before

GenerateOptions greedy_of(std::uint32_t count) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = count;
  options.ignore_end = true;
  return options;
}

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

std::uint64_t steps_to_make() {
  const auto asked = setting("BULKHEAD_SOAK_STEPS");
  return asked.empty() ? 400 : std::stoull(asked);
}

// A prompt, and what follows it.
struct Known {
  std::vector<Token> prompt;
  std::vector<Token> follows;
};

class Soak : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.path = setting("BULKHEAD_SOAK_MODEL");
    if (options_.path.empty()) {
      options_.path = (folder_ / "tiny.gguf").string();
      ASSERT_TRUE(testing::write_tiny_model(options_.path, {.window = testing::kTinyWindow}));
      options_.threads = 1;
    }
    options_.context_tokens = kCapacity;
    learn();
  }

  void learn() {
    auto alone = engines::builtin_engines().make(options_);
    ASSERT_TRUE(alone.ok()) << alone.error().to_string();
    auto& engine = *alone.value();
    for (int i = 0; i < 6; ++i) {
      Known known;
      const auto words = engine.tokenizer().tokenize(
          fmt::format("Log {}: {}", i, std::string(static_cast<std::size_t>(8 + 11 * i), 'o')));
      ASSERT_TRUE(words.ok());
      known.prompt = words.value();
      const auto id = engine.open({.capacity_tokens = kCapacity});
      ASSERT_TRUE(id.ok() && engine.prefill(id.value(), known.prompt).ok());
      const GenerateRequest request{id.value(), greedy_of(kKnown)};
      known.follows = engine.generate({&request, 1})[0].value().tokens;
      ASSERT_EQ(known.follows.size(), kKnown);
      known_.push_back(std::move(known));
    }
  }

  std::shared_ptr<Desk> open_desk(const DeskOptions& options) {
    auto made = engines::builtin_engines().make(options_);
    EXPECT_TRUE(made.ok());
    return Desk::open(std::move(made).value(), options);
  }

  testing::TemporaryFolder folder_;
  ModelOptions options_;
  std::vector<Known> known_;
};

// One thread's work: sequences that each hold a known prompt and the first of what follows it.
class Worker {
 public:
  Worker(Desk& desk, const std::vector<Known>& known, std::uint32_t number)
      : client_(desk.client(fmt::format("owner {}", number % 4))), known_(known), random_(number) {}

  // Something, checked.
  void act() {
    if (held_.empty() || (held_.size() < 4 && random_() % 4 == 0)) return open_one();
    const auto which = random_() % held_.size();
    switch (random_() % 8) {
      case 0: return fork_one(which);
      case 1: return truncate_one(which);
      case 2: return close_one(which);
      case 3: return cancel_one(which);
      case 4: return in_a_job(which);
      case 5: return generate_many();
      default: return generate_one(which);
    }
  }

  [[nodiscard]] std::uint64_t acts() const { return acts_; }
  [[nodiscard]] std::uint64_t tokens() const { return tokens_; }
  [[nodiscard]] std::vector<std::string> wrong() const { return wrong_; }

 private:
  struct Held {
    SequenceId id;
    std::size_t prompt;
    std::size_t drawn;
  };

  void expect(bool right, std::string_view what) {
    if (!right) wrong_.emplace_back(what);
  }

  [[nodiscard]] std::uint32_t some_more(const Held& one) {
    return static_cast<std::uint32_t>(std::min<std::size_t>(1 + random_() % 12, kKnown - one.drawn));
  }

  // What came must be what comes next.
  void take(Held& one, std::span<const Token> came) {
    const auto expected = std::span(known_[one.prompt].follows).subspan(one.drawn);
    expect(came.size() <= expected.size() && std::equal(came.begin(), came.end(), expected.begin()),
           "other tokens than alone");
    one.drawn += came.size();
    tokens_ += came.size();
    ++acts_;
  }

  // Prompt and first tokens in one job, whose events are all there, in order.
  void open_one() {
    const auto id = client_->open({.capacity_tokens = kCapacity});
    if (!id.ok()) return expect(false, "open: " + id.error().to_string());
    Held made{id.value(), random_() % known_.size(), 0};
    run_job(made, known_[made.prompt].prompt);
    held_.push_back(made);
  }

  void in_a_job(std::size_t which) { run_job(held_[which], {}); }

  void run_job(Held& one, std::vector<Token> prefill) {
    const auto expected = prefill.size();
    const auto id = client_->submit(
        {.sequence = one.id, .prefill = std::move(prefill), .generate = greedy_of(some_more(one)), .cancel = {}});
    if (!id.ok()) return expect(false, "submit: " + id.error().to_string());
    std::vector<Token> told;
    std::uint32_t prefilled = 0;
    std::optional<JobResult> outcome;
    std::vector<JobEvent> events;
    while (client_->running_jobs() > 0) {
      events.clear();
      client_->advance({}, events);
      for (const auto& event : events) {
        expect(!outcome, "an event behind the outcome");
        if (const auto* part = std::get_if<engine::Prefilled>(&event.what)) prefilled = part->tokens;
        if (const auto* token = std::get_if<engine::Drawn>(&event.what)) {
          expect(token->index == told.size(), "a token's event was lost");
          told.push_back(token->token);
        }
        const auto* ended = std::get_if<Result<JobResult>>(&event.what);
        if (ended == nullptr) continue;
        if (!ended->ok()) return expect(false, "job: " + ended->error().to_string());
        outcome = ended->value();
      }
    }
    if (!outcome) return expect(false, "no outcome");
    expect(prefilled == expected && outcome->prefill.tokens == expected, "a part of the prefill was lost");
    expect(told == outcome->generated.tokens, "events tell of other tokens than the outcome");
    take(one, told);
  }

  void generate_one(std::size_t which) {
    auto& one = held_[which];
    const GenerateRequest request{one.id, greedy_of(some_more(one))};
    const auto result = client_->generate({&request, 1})[0];
    if (!result.ok()) return expect(false, "generate: " + result.error().to_string());
    expect(result.value().tokens.size() == request.options.max_tokens, "fewer tokens than asked for");
    take(one, result.value().tokens);
  }

  void generate_many() {
    std::vector<GenerateRequest> requests;
    for (auto& one : held_) requests.push_back({one.id, greedy_of(some_more(one))});
    const auto results = client_->generate(requests);
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (!results[i].ok()) return expect(false, "generate: " + results[i].error().to_string());
      take(held_[i], results[i].value().tokens);
    }
  }

  void cancel_one(std::size_t which) {
    auto& one = held_[which];
    std::stop_source stop;
    auto options = greedy_of(some_more(one));
    options.cancel = stop.get_token();
    std::jthread canceller;
    const bool by_callback = random_() % 2 == 0;
    const auto wanted = random_() % 6;
    if (by_callback) options.on_token = [&](const TokenEvent& event) { return event.index < wanted; };
    if (!by_callback)
      canceller = std::jthread([&, pause = random_() % 3000] {
        std::this_thread::sleep_for(std::chrono::microseconds(pause));
        stop.request_stop();
      });
    const GenerateRequest request{one.id, options};
    const auto result = client_->generate({&request, 1})[0];
    if (!result.ok()) return expect(false, "cancel: " + result.error().to_string());
    const auto& tokens = result.value().tokens;
    if (by_callback) expect(tokens.size() <= wanted + 1, "more than was wanted");
    take(one, tokens);
  }

  void fork_one(std::size_t which) {
    if (held_.size() >= 6) return close_one(which);
    const auto& from = held_[which];
    const auto drawn = random_() % (from.drawn + 1);
    const auto tokens = static_cast<std::uint32_t>(known_[from.prompt].prompt.size() + drawn);
    const auto made = client_->fork(from.id, tokens, {.capacity_tokens = kCapacity});
    if (!made.ok()) return expect(false, "fork: " + made.error().to_string());
    held_.push_back({made.value().sequence, from.prompt, drawn});
    ++acts_;
  }

  void truncate_one(std::size_t which) {
    auto& one = held_[which];
    one.drawn = random_() % (one.drawn + 1);
    const auto tokens = static_cast<std::uint32_t>(known_[one.prompt].prompt.size() + one.drawn);
    const auto cut = client_->truncate(one.id, tokens);
    if (!cut.ok()) return expect(false, "truncate: " + cut.error().to_string());
    expect(client_->inspect(one.id).value().tokens == tokens, "truncated to another length");
    ++acts_;
  }

  void close_one(std::size_t which) {
    expect(client_->close(held_[which].id).ok(), "close");
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(which));
    ++acts_;
  }

  std::unique_ptr<Engine> client_;
  const std::vector<Known>& known_;
  std::mt19937 random_;
  std::vector<Held> held_;
  std::vector<std::string> wrong_;
  std::uint64_t acts_ = 0;
  std::uint64_t tokens_ = 0;
};

TEST_F(Soak, NothingIsLostStuckOrLeaked) {
  const auto desk = open_desk({.most_jobs = 6});
  const auto begin = std::chrono::steady_clock::now();
  const auto until = steps_to_make();
  std::uint64_t acts = 0;
  std::uint64_t tokens = 0;
  std::vector<std::string> wrong;
  {
    std::vector<std::unique_ptr<Worker>> workers;
    for (std::uint32_t i = 0; i < 8; ++i) workers.push_back(std::make_unique<Worker>(*desk, known_, i));
    std::atomic<bool> enough = false;
    std::vector<std::jthread> threads;
    for (auto& worker : workers) {
      threads.emplace_back([&, one = worker.get()] {
        while (!enough) one->act();
      });
    }
    for (int round = 0; desk->status().steps < until; ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (round % 3 == 1) static_cast<void>(desk->park_all());
    }
    enough = true;
    threads.clear();  // a ticket that is stuck would stop here
    for (const auto& worker : workers) {
      acts += worker->acts();
      tokens += worker->tokens();
      for (auto& one : worker->wrong()) wrong.push_back(std::move(one));
    }
  }
  const auto status = desk->status();
  EXPECT_TRUE(wrong.empty()) << wrong.size() << " wrong, the first: " << wrong.front();
  EXPECT_EQ(status.sequences, 0U);
  EXPECT_EQ(status.running + status.waiting, 0U);
  EXPECT_EQ(status.kv_bytes, 0U);
  EXPECT_EQ(status.engine_kv_bytes, 0U) << "pages that nobody has";
  EXPECT_GT(status.parks, 0U);
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const Json figures = {
      {"steps", status.steps},     {"acts", acts},          {"tokens", tokens},  {"parks", status.parks},
      {"unparks", status.unparks}, {"wrong", wrong.size()}, {"seconds", seconds}};
  fmt::print("soak {}\n", figures.dump());
}

// Owners with very different numbers of jobs get the same share, as long as each has something to do.
TEST_F(Soak, OwnersShareAlikeHoweverManyJobsTheyHave) {
  const auto desk = open_desk({.most_jobs = 4});
  std::atomic<bool> enough = false;
  std::array<std::atomic<std::uint64_t>, 3> tokens{};
  {
    std::vector<std::jthread> threads;
    for (const auto& [owner, jobs] : {std::pair<std::size_t, int>{0, 8}, {1, 16}, {2, 24}}) {
      for (int i = 0; i < jobs; ++i) {
        threads.emplace_back([&, owner = owner] {
          const auto client = desk->client(fmt::format("owner {}", owner));
          const auto id = client->open({.capacity_tokens = kCapacity}).value();
          const auto& prompt = known_[0].prompt;
          if (!client->prefill(id, prompt).ok()) return;
          while (!enough) {
            const GenerateRequest request{id, greedy_of(8)};
            const auto result = client->generate({&request, 1})[0];
            if (result.ok()) tokens[owner] += result.value().tokens.size();
            if (!client->truncate(id, static_cast<std::uint32_t>(prompt.size())).ok()) return;
          }
        });
      }
    }
    while (tokens[0] + tokens[1] + tokens[2] < 6000) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    enough = true;
  }
  const auto all = static_cast<double>(tokens[0] + tokens[1] + tokens[2]);
  for (const auto& one : tokens) EXPECT_NEAR(static_cast<double>(one) / all, 1.0 / 3, 0.1 / 3);
}

}  // namespace
}  // namespace bulkhead::desk
