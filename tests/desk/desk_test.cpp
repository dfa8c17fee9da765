// SPDX-License-Identifier: MIT
// Owners at the desk: what is theirs, what they may have, whose turn it is. The seam's own contract is held by the
// conformance tests of engines, which run through a desk too.
#include "desk/desk.h"

#include "engines/fake/fake_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::desk {
namespace {

using engine::Engine;
using engine::GenerateRequest;
using engine::GenerateResult;
using engine::SequenceId;
using engine::Token;
using ::testing::HasSubstr;

constexpr std::uint64_t kTokenBytes = 64;  // of the fake engine

std::vector<Token> text(std::string_view words) {
  return {words.begin(), words.end()};
}

GenerateOptions greedy(std::uint32_t count) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = count;
  options.hash_logits = true;
  return options;
}

SequenceId opened(Engine& engine, std::string_view words, std::uint32_t capacity = 200) {
  const auto id = engine.open({.capacity_tokens = capacity});
  EXPECT_TRUE(id.ok());
  EXPECT_TRUE(engine.prefill(id.value(), text(words)).ok());
  return id.value();
}

GenerateResult generated(Engine& engine, SequenceId id, std::uint32_t count) {
  const GenerateRequest request{id, greedy(count)};
  auto results = engine.generate({&request, 1});
  EXPECT_TRUE(results[0].ok()) << (results[0].ok() ? "" : results[0].error().to_string());
  return results[0].ok() ? std::move(results[0]).value() : GenerateResult{};
}

// What a text gives in an engine without a desk.
GenerateResult alone(std::string_view words, std::uint32_t count) {
  const auto engine = engines::fake::make_fake_engine();
  return generated(*engine, opened(*engine, words), count);
}

TEST(Desk, WhatAClientOpenedIsItsOwn) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  const auto anna = desk->client("anna");
  const auto ben = desk->client("ben");
  const auto anna_again = desk->client("anna");
  const auto id = opened(*anna, "a secret");
  for (auto* other : {ben.get(), anna_again.get()}) {
    const auto expect_closed = [](const auto& result) { EXPECT_EQ(result.error().code, ErrorCode::kClosed); };
    expect_closed(other->inspect(id));
    expect_closed(other->prefill(id, text("x")));
    expect_closed(other->fork(id, 2, {.capacity_tokens = 100}));
    expect_closed(other->truncate(id, 1));
    expect_closed(other->score(id, text("x")));
    expect_closed(other->snapshot(id));
    expect_closed(other->state_hash(id));
    expect_closed(other->submit({.sequence = id, .prefill = text("x"), .generate = {}, .cancel = {}}));
    expect_closed(other->close(id));
    const GenerateRequest request{id, greedy(2)};
    expect_closed(other->generate({&request, 1})[0]);
  }
  EXPECT_EQ(anna->inspect(id).value().tokens, 8U);
  EXPECT_EQ(generated(*anna, id, 5).tokens, alone("a secret", 5).tokens);
}

TEST(Desk, AClientThatGoesGivesBackWhatItHad) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  const auto stays = desk->client("stays");
  const auto kept = opened(*stays, "kept");
  {
    const auto goes = desk->client("goes");
    for (int i = 0; i < 5; ++i) opened(*goes, "given back");
    EXPECT_EQ(desk->status().sequences, 6U);
    // A job that nobody waits for.
    const auto last = opened(*goes, "running");
    EXPECT_TRUE(goes->submit({.sequence = last, .prefill = {}, .generate = greedy(100), .cancel = {}}).ok());
  }
  EXPECT_EQ(desk->status().sequences, 1U);
  EXPECT_EQ(desk->status().kv_bytes, 4 * kTokenBytes);
  EXPECT_EQ(generated(*stays, kept, 3).tokens, alone("kept", 3).tokens);
}

TEST(Desk, WhatItsCallerDidNotWantIsCutOffAllLists) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  const auto anna = desk->client("anna");
  auto options = greedy(150);
  options.logprobs = 2;
  options.on_token = [](const TokenEvent& event) { return event.index < 3; };
  const GenerateRequest request{opened(*anna, "a text"), options};
  const auto result = anna->generate({&request, 1})[0];
  ASSERT_TRUE(result.ok()) << result.error().to_string();
  EXPECT_EQ(result.value().tokens.size(), 4U);
  EXPECT_EQ(result.value().logprobs.size(), 4U);
  EXPECT_EQ(result.value().logit_hashes.size(), 4U);
  EXPECT_EQ(result.value().token_times.size(), 4U);
  EXPECT_EQ(anna->inspect(request.sequence).value().tokens, 10U);
}

TEST(Desk, AnEngineThatFindsNoTokenLeavesTheOthersRunning) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  const auto anna = desk->client("anna");
  const auto bert = desk->client("bert");
  auto options = greedy(5);
  for (Token token = ' '; token < ' ' + 95; ++token) {
    options.logit_bias.push_back({token, -std::numeric_limits<float>::infinity()});
  }
  const GenerateRequest request{opened(*anna, "a text"), options};
  const auto result = anna->generate({&request, 1})[0];
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(result.error().place, "logit_bias");
  EXPECT_EQ(generated(*bert, opened(*bert, "another"), 4).tokens, alone("another", 4).tokens);
  EXPECT_EQ(generated(*anna, request.sequence, 4).tokens, alone("a text", 4).tokens) << "it is not poisoned";
}

TEST(Desk, ASpentBudgetIsItsOwnersOwn) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  desk->set_budget("small", {.kv_bytes = 0, .sequences = 2, .jobs = 0});
  const auto small = desk->client("small");
  const auto other = desk->client("other");
  opened(*small, "one");
  const auto second = opened(*small, "two");
  const auto refused = small->open({.capacity_tokens = 10});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResource);
  EXPECT_THAT(refused.error().message, HasSubstr("\"small\" has 2 sequences"));
  EXPECT_EQ(small->fork(second, 2, {.capacity_tokens = 10}).error().code, ErrorCode::kResource);
  opened(*other, "three");
  ASSERT_TRUE(small->close(second).ok());
  opened(*small, "four");
}

TEST(Desk, OneClientMayOpenForManyOwners) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  desk->set_budget("anna", {.kv_bytes = 0, .sequences = 1, .jobs = 0});
  const auto client = desk->client();
  const auto of_anna = client->open({.capacity_tokens = 50, .owner = "anna"});
  ASSERT_TRUE(of_anna.ok());
  EXPECT_EQ(client->open({.capacity_tokens = 50, .owner = "anna"}).error().code, ErrorCode::kResource);
  const auto of_ben = client->open({.capacity_tokens = 50, .owner = "ben"});
  ASSERT_TRUE(of_ben.ok());
  // A fork counts for whom it is made.
  ASSERT_TRUE(client->prefill(of_ben.value(), text("what ben said")).ok());
  EXPECT_EQ(client->fork(of_ben.value(), 4, {.capacity_tokens = 50, .owner = "anna"}).error().code,
            ErrorCode::kResource);
  EXPECT_TRUE(client->fork(of_ben.value(), 4, {.capacity_tokens = 50, .owner = "ben"}).ok());
}

TEST(Desk, BytesOverBudgetAreParkedThenRefused) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  desk->set_budget("small", {.kv_bytes = 30 * kTokenBytes, .sequences = 0, .jobs = 0});
  const auto small = desk->client("small");
  const auto other = desk->client("other");
  const auto foreign = opened(*other, "what another owner holds stays where it is");
  const auto first = opened(*small, "twenty tokens, say..");
  EXPECT_EQ(desk->status().parked, 0U);
  const auto second = opened(*small, "twenty more of them.");
  EXPECT_EQ(desk->status().parked, 1U) << "both do not fit";
  EXPECT_EQ(desk->status().kv_bytes, (20 + 42) * kTokenBytes);
  const auto parked = small->inspect(first).value();
  EXPECT_EQ(parked.tokens, 20U);
  EXPECT_EQ(parked.kv_bytes_used, 20 * kTokenBytes);
  EXPECT_EQ(parked.kv_bytes_allocated, 0U);
  // It comes back when it is asked for, and the other goes.
  EXPECT_EQ(generated(*small, first, 5).tokens, alone("twenty tokens, say..", 5).tokens);
  EXPECT_EQ(desk->status().parked, 1U);
  EXPECT_EQ(desk->status().unparks, 1U);
  EXPECT_EQ(generated(*small, second, 5).tokens, alone("twenty more of them.", 5).tokens);
  // More than the budget by itself: nothing helps.
  const auto third = small->open({.capacity_tokens = 100});
  const auto refused = small->prefill(third.value(), std::vector<Token>(31, 'x'));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResource);
  EXPECT_EQ(refused.error().place, "small");
  EXPECT_TRUE(small->prefill(third.value(), std::vector<Token>(30, 'x')).ok()) << "unchanged";
  EXPECT_EQ(generated(*other, foreign, 3).tokens, alone("what another owner holds stays where it is", 3).tokens);
}

TEST(Desk, TellsWhereCellsAre) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  const auto client = desk->client("anna");
  const auto held = client->open({.capacity_tokens = 50, .name = "held"});
  const auto empty = client->open({.capacity_tokens = 50, .name = "empty"});
  ASSERT_TRUE(held.ok() && empty.ok());
  ASSERT_TRUE(client->prefill(held.value(), text("twenty tokens, say..")).ok());
  using Place = CellsAt::Place;
  const auto cells = [&] { return desk->cells_of(*client); };
  using Cells = std::map<std::string, CellsAt>;
  EXPECT_EQ(cells(), (Cells{{"held", {Place::kCache, 20 * kTokenBytes}}, {"empty", {}}}));
  EXPECT_TRUE(desk->cells_of(*desk->client("anna")).empty()) << "another client's are not told";
  EXPECT_TRUE(desk->cells_of(*engines::fake::make_fake_engine()).empty());
  ASSERT_GE(desk->park_all(), 1U);
  const auto parked = cells()["held"];
  EXPECT_EQ(parked.place, Place::kParked);
  EXPECT_GT(parked.bytes, 0U);
  EXPECT_LE(parked.bytes, desk->status().parked_bytes);
  static_cast<void>(generated(*client, held.value(), 5));
  EXPECT_EQ(cells()["held"], (CellsAt{Place::kCache, 25 * kTokenBytes}));
  ASSERT_TRUE(client->close(held.value()).ok());
  EXPECT_EQ(cells().size(), 1U);
}

TEST(Desk, WhereMemoryIsShortWhoWasUsedLongestAgoIsParked) {
  // Room for three sequences of 100 tokens.
  const auto desk = Desk::open(engines::fake::make_fake_engine({.memory_bytes = 3 * 100 * kTokenBytes, .faults = {}}),
                               {.kv_bytes = 100 * kTokenBytes});
  const auto client = desk->client("somebody");
  std::vector<SequenceId> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(opened(*client, std::string(40, static_cast<char>('a' + i)), 100));
  EXPECT_EQ(desk->status().parked, 1U);
  EXPECT_EQ(client->inspect(ids[0]).value().kv_bytes_allocated, 0U);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < 3; ++i) {
      const auto copy = client->fork(ids[i], 40, {.capacity_tokens = 60});
      ASSERT_TRUE(copy.ok()) << copy.error().to_string();
      EXPECT_EQ(generated(*client, copy.value().sequence, 4).tokens,
                alone(std::string(40, static_cast<char>('a' + i)), 4).tokens);
      ASSERT_TRUE(client->close(copy.value().sequence).ok());
    }
  }
  EXPECT_GE(desk->status().unparks, 6U);
}

// Those who wait hold cells too: they must not stand in each other's way.
TEST(Desk, WhoWaitsIsParkedForWhoCanStart) {
  const auto desk = Desk::open(engines::fake::make_fake_engine(), {.kv_bytes = 100 * kTokenBytes});
  const auto client = desk->client();
  std::vector<GenerateRequest> requests;
  std::vector<std::vector<Token>> expected;
  // Beside each other while they wait; each needs most of the room to run. One owner has the name of a limit.
  for (const std::string owner : {"all", "all owners together", "anna"}) {
    const auto id = client->open({.capacity_tokens = 100, .owner = owner});
    ASSERT_TRUE(id.ok() && client->prefill(id.value(), text(std::string(30, owner.back()))).ok());
    requests.push_back({id.value(), greedy(50)});
    expected.push_back(alone(std::string(30, owner.back()), 50).tokens);
  }
  const auto results = client->generate(requests);
  for (std::size_t i = 0; i < results.size(); ++i) {
    ASSERT_TRUE(results[i].ok()) << results[i].error().to_string();
    EXPECT_EQ(results[i].value().tokens, expected[i]);
  }
  EXPECT_GT(desk->status().parks, 0U);
}

TEST(Desk, AskingForTooMuchSendsNobodyAway) {
  const auto desk = Desk::open(engines::fake::make_fake_engine({.context_tokens = 100, .faults = {}}));
  const auto victim = desk->client("victim");
  const auto id = opened(*victim, "held", 100);
  const auto greedy_client = desk->client("greedy");
  EXPECT_EQ(greedy_client->open({.capacity_tokens = 101}).error().code, ErrorCode::kResource);
  const auto own = opened(*greedy_client, "mine", 50);
  EXPECT_EQ(greedy_client->fork(own, 4, {.capacity_tokens = 101}).error().code, ErrorCode::kResource);
  EXPECT_EQ(greedy_client->fork(own, 4, {.capacity_tokens = 3}).error().code, ErrorCode::kResource);
  EXPECT_EQ(greedy_client->fork(own, 5, {.capacity_tokens = 50}).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(greedy_client->score(own, std::vector<Token>(60, 'x')).error().code, ErrorCode::kResource);
  EXPECT_EQ(greedy_client->prefill(own, std::vector<Token>(60, 'x')).error().code, ErrorCode::kResource);
  EXPECT_EQ(desk->status().parks, 0U);
  EXPECT_EQ(victim->inspect(id).value().tokens, 4U);
}

TEST(Desk, ParkedSequencesAnswerEveryCall) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  const auto client = desk->client("somebody");
  const auto check = [&](const auto& what) {
    const auto id = opened(*client, "parked in between");
    EXPECT_GE(desk->park_all(), 1U);
    EXPECT_EQ(desk->park_all(), 0U);
    what(id);
    EXPECT_TRUE(client->close(id).ok());
  };
  const auto expected = alone("parked in between", 6).tokens;
  check([&](SequenceId id) { EXPECT_EQ(generated(*client, id, 6).tokens, expected); });
  check([&](SequenceId id) { EXPECT_EQ(client->truncate(id, 6).value().tokens, 0U); });
  check([&](SequenceId id) { EXPECT_EQ(client->score(id, text("ab")).value().size(), 2U); });
  check([&](SequenceId id) { EXPECT_TRUE(client->state_hash(id).ok()); });
  check([&](SequenceId id) { EXPECT_EQ(client->inspect(id).value().tokens, 17U); });
  check([&](SequenceId id) { EXPECT_TRUE(client->prefill(id, text("more")).ok()); });
  check([&](SequenceId id) {
    const auto copy = client->fork(id, 17, {.capacity_tokens = 100});
    ASSERT_TRUE(copy.ok());
    EXPECT_EQ(generated(*client, copy.value().sequence, 6).tokens, expected);
    EXPECT_TRUE(client->close(copy.value().sequence).ok());
  });
  check([&](SequenceId id) {
    const auto image = client->snapshot(id);
    ASSERT_TRUE(image.ok());
    const auto back = client->restore(image.value(), {.capacity_tokens = 100});
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(generated(*client, back.value(), 6).tokens, expected);
    EXPECT_TRUE(client->close(back.value()).ok());
  });
  EXPECT_EQ(desk->status().sequences, 0U);
  EXPECT_EQ(desk->status().kv_bytes, 0U);
}

TEST(Desk, OnTokenThatStopsLeavesExactlyThatMuch) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  const auto client = desk->client("somebody");
  const auto all = alone("a text", 40);
  const auto part = [&](std::size_t from, std::size_t count) {
    const auto some = std::span(all.tokens).subspan(from, count);
    return std::vector<Token>(some.begin(), some.end());
  };
  for (const std::size_t wanted : {1U, 2U, 7U, 39U, 40U}) {
    const auto id = opened(*client, "a text");
    auto options = greedy(40);
    const auto caller = std::this_thread::get_id();
    options.on_token = [&](const TokenEvent& event) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      return event.index + 1 < wanted;
    };
    const GenerateRequest request{id, options};
    const auto result = client->generate({&request, 1})[0];
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result.value().finish, GenerateResult::Finish::kCancelled);
    EXPECT_EQ(result.value().tokens, part(0, wanted));
    EXPECT_EQ(result.value().text, all.text.substr(0, wanted));
    EXPECT_EQ(result.value().logit_hashes.size(), wanted);
    EXPECT_EQ(client->inspect(id).value().tokens, 6 + wanted);
    // And it goes on where it stopped.
    const auto rest = generated(*client, id, 3).tokens;
    if (wanted + 3 <= 40) {
      EXPECT_EQ(rest, part(wanted, 3));
    }
  }
}

TEST(Desk, OwnersTakeTurnsHoweverManyJobsOneHas) {
  // One job at a time, and one client for all owners: outcomes come in the order of turns.
  const auto desk =
      Desk::open(engines::fake::make_fake_engine({.context_tokens = 200'000, .faults = {}}), {.most_jobs = 1});
  const auto client = desk->client();
  const auto submit = [&](const std::string& owner, std::uint32_t tokens, std::stop_token cancel) {
    const auto id = client->open({.capacity_tokens = tokens + 10, .owner = owner});
    EXPECT_TRUE(id.ok());
    const auto job = client->submit(
        {.sequence = id.value(), .prefill = text("x"), .generate = greedy(tokens), .cancel = std::move(cancel)});
    EXPECT_TRUE(job.ok());
    return job.value();
  };
  std::stop_source stop;
  submit("a long one", 199'000, stop.get_token());  // until all are there
  for (int i = 0; i < 30; ++i) submit("many", 5, {});
  const auto of_few = submit("with few", 5, {});
  stop.request_stop();
  std::vector<engine::JobEvent> events;
  while (client->running_jobs() > 0) client->advance({}, events);
  std::vector<engine::JobId> ended;
  for (const auto& event : events) {
    if (std::holds_alternative<Result<engine::JobResult>>(event.what)) ended.push_back(event.job);
  }
  ASSERT_EQ(ended.size(), 32U);
  const auto place = std::find(ended.begin(), ended.end(), of_few) - ended.begin();
  EXPECT_LE(place, 2) << "the long one, and one turn of the owner with many";
}

TEST(Desk, ABudgetOfJobsBoundsWhatRunsAtOnce) {
  const auto desk = Desk::open(engines::fake::make_fake_engine());
  desk->set_budget("bounded", {.kv_bytes = 0, .sequences = 0, .jobs = 2});
  const auto bounded = desk->client("bounded");
  std::vector<SequenceId> ids;
  for (int i = 0; i < 6; ++i) {
    ids.push_back(opened(*bounded, "text"));
    ASSERT_TRUE(bounded->submit({.sequence = ids.back(), .prefill = {}, .generate = greedy(150), .cancel = {}}).ok());
  }
  std::size_t ended = 0;
  std::vector<engine::JobEvent> events;
  while (bounded->running_jobs() > 0) {
    EXPECT_LE(desk->status().running, 2U);
    events.clear();
    bounded->advance({}, events);
    for (const auto& event : events) {
      ended += std::holds_alternative<Result<engine::JobResult>>(event.what) ? 1U : 0U;
    }
  }
  EXPECT_EQ(ended, 6U);
}

TEST(Desk, ACancelWhileWaitingEndsAtOnce) {
  const auto desk = Desk::open(engines::fake::make_fake_engine(), {.most_jobs = 1});
  const auto client = desk->client("somebody");
  std::stop_source stop_running;
  auto endless = greedy(30000);
  endless.cancel = stop_running.get_token();
  const auto running = opened(*client, "runs", 30000);
  const auto waiting = opened(*client, "waits");
  ASSERT_TRUE(client->submit({.sequence = running, .prefill = {}, .generate = endless, .cancel = {}}).ok());
  const auto id = client->submit({.sequence = waiting, .prefill = {}, .generate = greedy(5), .cancel = {}});
  ASSERT_TRUE(id.ok());
  client->cancel(id.value());
  std::vector<engine::JobEvent> events;
  const auto has_ended = [&] {
    return std::any_of(events.begin(), events.end(), [&](const auto& event) {
      return event.job == id.value() && std::holds_alternative<Result<engine::JobResult>>(event.what);
    });
  };
  while (!has_ended()) client->advance({}, events);
  EXPECT_EQ(client->inspect(waiting).value().tokens, 5U);
  stop_running.request_stop();
  while (client->running_jobs() > 0) client->advance({}, events);
}

// Eight threads do at random what clients do; each checks all it gets against an engine of its own.
TEST(Desk, ManyThreadsEachSeeWhatTheyWouldSeeAlone) {
  const auto desk = Desk::open(engines::fake::make_fake_engine(), {.most_jobs = 5, .kv_bytes = 400 * kTokenBytes});
  for (const auto* owner : {"owner 0", "owner 1"}) desk->set_budget(owner, {.kv_bytes = 0, .sequences = 0, .jobs = 2});
  std::atomic<int> wrong = 0;
  const auto work = [&](std::uint32_t seed) {
    std::mt19937 random(seed);
    const auto client = desk->client("owner " + std::to_string(seed % 3));
    const auto own = engines::fake::make_fake_engine();
    const auto id = client->open({.capacity_tokens = 200}).value();
    const auto mirror = own->open({.capacity_tokens = 200}).value();
    for (int step = 0; step < 60; ++step) {
      const auto held = own->inspect(mirror).value().tokens;
      const auto what = random() % 5;
      if (held < 10 || what == 0) {
        const auto more = text("step " + std::to_string(seed) + "." + std::to_string(step));
        if (client->prefill(id, more).ok() != own->prefill(mirror, more).ok()) ++wrong;
      } else if (what == 1) {
        if (!client->truncate(id, held / 2).ok() || !own->truncate(mirror, held / 2).ok()) ++wrong;
      } else if (what == 2) {
        std::stop_source stop;
        auto options = greedy(50);
        options.cancel = stop.get_token();
        options.on_token = [&](const TokenEvent& event) {
          if (event.index == 2) stop.request_stop();
          return true;
        };
        const GenerateRequest request{id, options};
        const auto result = client->generate({&request, 1})[0];
        const auto drawn = result.ok() ? static_cast<std::uint32_t>(result.value().tokens.size()) : 0;
        if (!result.ok() || generated(*own, mirror, drawn).tokens != result.value().tokens) ++wrong;
      } else {
        const auto count = static_cast<std::uint32_t>(random() % 12);
        if (generated(*client, id, count).logit_hashes != generated(*own, mirror, count).logit_hashes) ++wrong;
      }
      if (client->inspect(id).value().token_sha256 != own->inspect(mirror).value().token_sha256) ++wrong;
    }
  };
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < 8; ++i) threads.emplace_back(work, i);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  const auto status = desk->status();
  EXPECT_EQ(status.sequences, 0U);
  EXPECT_EQ(status.kv_bytes, 0U);
  EXPECT_EQ(status.running + status.waiting, 0U);
  EXPECT_GT(status.parks, 0U);
}

}  // namespace
}  // namespace bulkhead::desk
