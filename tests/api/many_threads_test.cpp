// SPDX-License-Identifier: MIT
// One model, many threads: what each gets is what it would get alone. Budgets and cutting back, too.
#include "api/public_surface.h"

#include <atomic>
#include <optional>
#include <random>
#include <thread>
#include <vector>

namespace bulkhead::testing {
namespace {

// One conversation, with all that a partition can do; what it showed.
std::string conversation(Model& model, std::uint32_t number, int rounds) {
  std::mt19937 random(number);
  const auto name = "partition " + std::to_string(number);
  auto partition = open(model, name);
  std::string shown;
  for (int round = 0; round < rounds; ++round) {
    EXPECT_TRUE(partition.prefill("Log " + std::to_string(number) + ", day " + std::to_string(round) + ":").ok());
    const auto said = partition.generate(greedy(static_cast<std::uint32_t>(3 + random() % 6)));
    EXPECT_TRUE(said.ok());
    shown += said->text + "|";
    for (const auto hash : said->logit_hashes) shown += std::to_string(hash) + ",";
    auto fork = partition.fork(name + "'s fork");
    EXPECT_TRUE(fork.ok());
    auto options = greedy(20);
    options.on_token = [&](const TokenEvent& event) { return event.index < 2; };
    const auto cut = fork->generate(options);
    EXPECT_TRUE(cut.ok());
    shown += cut->text + "|" + fork->usage().token_sha256 + "|";
    EXPECT_TRUE(fork->receive(*partition.last_output()).ok());
    if (partition.usage().tokens > 60) {
      EXPECT_TRUE(partition.truncate(random() % 30 + 1).ok());
    }
    shown += partition.usage().token_sha256 + "\n";
  }
  return shown;
}

void expect_the_same_on_many_threads(const Kind& kind, std::uint32_t threads, int rounds) {
  auto loaded = load(kind);
  ASSERT_TRUE(loaded.ok()) << loaded.error().to_string();
  auto& model = *loaded;
  std::vector<std::string> alone;
  for (std::uint32_t i = 0; i < threads; ++i) alone.push_back(conversation(model, i, rounds));
  std::vector<std::string> together(threads);
  {
    std::vector<std::jthread> running;
    for (std::uint32_t i = 0; i < threads; ++i) {
      running.emplace_back([&, i] { together[i] = conversation(model, i, rounds); });
    }
  }
  for (std::uint32_t i = 0; i < threads; ++i) EXPECT_EQ(together[i], alone[i]) << i;
}

TEST(ManyThreads, OfOneModelGetWhatEachGetsAlone) {
  expect_the_same_on_many_threads(fake_kind(), 8, 12);
}

TEST(ModelManyThreads, OfOneModelGetWhatEachGetsAlone) {
  BULKHEAD_LOAD(model, gemma_kind());
  expect_the_same_on_many_threads(gemma_kind(), 6, 3);
}

TEST(ManyThreads, CallsOnOnePartitionWaitForEachOther) {
  BULKHEAD_LOAD(model, fake_kind());
  auto partition = open(model, "shared");
  ASSERT_TRUE(partition.prefill("a").ok());
  const auto before = partition.usage().tokens;
  std::atomic<int> failed = 0;
  {
    std::vector<std::jthread> running;
    for (int i = 0; i < 6; ++i) {
      running.emplace_back([&] {
        for (int k = 0; k < 10; ++k) {
          if (!partition.prefill("b").ok() || !partition.generate(greedy(1)).ok()) ++failed;
          static_cast<void>(partition.usage());
          static_cast<void>(partition.last_output());
        }
      });
    }
  }
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(partition.usage().tokens, before + 6 * 10 * 2);
}

TEST(ManyThreads, OneNameIsTakenOnce) {
  BULKHEAD_LOAD(model, fake_kind());
  std::atomic<int> opened = 0;
  std::vector<std::optional<Partition>> kept(8);
  {
    std::vector<std::jthread> running;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      running.emplace_back([&, i] {
        auto made = model.open("the name");
        if (!made.ok()) return;
        kept[i] = std::move(made).value();
        ++opened;
      });
    }
  }
  EXPECT_EQ(opened, 1);
}

TEST(Truncate, IsAsIfNothingHadComeBehind) {
  BULKHEAD_LOAD(model, fake_kind());
  auto partition = open(model, "cut");
  auto twin = open(model, "twin");
  for (auto* one : {&partition, &twin}) ASSERT_TRUE(one->prefill("what stays").ok());
  const auto tokens = partition.usage().tokens;
  ASSERT_TRUE(partition.generate(greedy(9)).ok());
  ASSERT_TRUE(partition.prefill("what goes").ok());
  ASSERT_TRUE(partition.generate(greedy(2)).ok());
  EXPECT_EQ(code(partition.truncate(partition.usage().tokens + 1)), ErrorCode::kBadInput);
  EXPECT_TRUE(partition.last_output().ok());
  ASSERT_TRUE(partition.truncate(tokens).ok());
  const auto usage = partition.usage();
  EXPECT_EQ(usage.token_sha256, twin.usage().token_sha256);
  EXPECT_EQ(usage.prefilled_tokens + usage.reused_tokens + usage.generated_tokens - usage.removed_tokens, tokens);
  EXPECT_EQ(code(partition.last_output()), ErrorCode::kBadInput);
  EXPECT_EQ(partition.generate(greedy(5))->logit_hashes, twin.generate(greedy(5))->logit_hashes);
}

TEST(Truncate, MessagesBehindThePlaceAreOffTheBooks) {
  BULKHEAD_LOAD(model, fake_kind());
  auto sender = open(model, "sender");
  ASSERT_TRUE(sender.prefill("x").ok() && sender.generate(greedy(4)).ok());
  auto partition = open(model, "receiver");
  ASSERT_TRUE(partition.prefill("before").ok());
  ASSERT_TRUE(partition.receive(*sender.last_output("A")).ok());
  const auto with_a = partition.usage().tokens;
  ASSERT_TRUE(partition.receive(*sender.last_output("B")).ok());
  EXPECT_EQ(partition.usage().messages_received, 2U);
  ASSERT_TRUE(partition.truncate(with_a).ok());
  EXPECT_EQ(partition.usage().messages_received, 1U);
  ASSERT_TRUE(partition.truncate(0).ok());
  EXPECT_EQ(partition.usage().messages_received, 0U);
  EXPECT_EQ(partition.usage().tokens, 0U);
}

TEST(Truncate, AChatGoesOnFromTheEndOfATurn) {
  BULKHEAD_LOAD(model, fake_kind());
  auto partition = open(model, "chat");
  auto twin = open(model, "twin");
  std::vector<std::uint64_t> ends;
  for (auto* one : {&partition, &twin}) {
    ASSERT_TRUE(one->chat("user", "first").ok());
    ASSERT_TRUE(one->generate(greedy(4)).ok());
    ends.push_back(one->usage().tokens);
  }
  ASSERT_TRUE(partition.chat("user", "asked in error").ok());
  ASSERT_TRUE(partition.generate(greedy(4)).ok());
  ASSERT_TRUE(partition.truncate(ends[0]).ok());
  for (auto* one : {&partition, &twin}) ASSERT_TRUE(one->chat("user", "second").ok());
  EXPECT_EQ(partition.usage().token_sha256, twin.usage().token_sha256);
  // In the middle of a turn nobody knows what the template would write next.
  ASSERT_TRUE(partition.truncate(ends[0] + 3).ok());
  EXPECT_EQ(code(partition.chat("user", "third")), ErrorCode::kUnsupported);
  EXPECT_TRUE(partition.prefill("plain text still comes").ok());
  ASSERT_TRUE(partition.truncate(ends[0]).ok());
  EXPECT_TRUE(partition.chat("user", "third").ok());
  ASSERT_TRUE(partition.truncate(0).ok());
  EXPECT_TRUE(partition.chat("user", "anew").ok());
}

TEST(Budgets, ASpentOneIsItsOwnersOwn) {
  BULKHEAD_LOAD(model, fake_kind());
  ASSERT_TRUE(model.set_budget("anna", {.kv_bytes = 0, .partitions = 1, .calls = 0}).ok());
  auto first = model.open("a1", {.owner = "anna"});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(code(model.open("a2", {.owner = "anna"})), ErrorCode::kResource);
  ASSERT_TRUE(first->prefill("text").ok());
  EXPECT_EQ(code(first->fork("a2")), ErrorCode::kResource);
  auto other = model.open("a2", {.owner = "ben"});
  EXPECT_TRUE(other.ok()) << "the name was given back";
  EXPECT_TRUE(other->prefill("text").ok());
  EXPECT_EQ(first->generate(greedy(3))->tokens, other->generate(greedy(3))->tokens);
}

TEST(ModelBudgets, WhatIsOverIsParkedAndComesBack) {
  BULKHEAD_LOAD(model, gemma_kind());
  // Room for about one of these two.
  auto measured = open(model, "measured");
  ASSERT_TRUE(measured.prefill("How much is it? " + std::string(200, 'o')).ok());
  const auto bytes = measured.usage().kv_bytes_used;
  ASSERT_TRUE(model.set_budget("small", {.kv_bytes = bytes * 2, .partitions = 0, .calls = 0}).ok());
  auto a = model.open("a", {.owner = "small"});
  auto b = model.open("b", {.owner = "small"});
  const auto text = [](std::string_view who) { return std::string(who) + " has a log " + std::string(200, 'o'); };
  std::string alternating;
  ASSERT_TRUE(a->prefill(text("Anna")).ok() && b->prefill(text("Ben")).ok());
  for (int round = 0; round < 3; ++round) {
    for (auto* one : {&*a, &*b}) {
      const auto said = one->generate(greedy(3));
      ASSERT_TRUE(said.ok()) << said.error().to_string();
      alternating += said->text + "|";
    }
  }
  std::string alone;
  auto c = open(model, "c");
  auto d = open(model, "d");
  ASSERT_TRUE(c.prefill(text("Anna")).ok() && d.prefill(text("Ben")).ok());
  for (int round = 0; round < 3; ++round) {
    for (auto* one : {&c, &d}) alone += one->generate(greedy(3))->text + "|";
  }
  EXPECT_EQ(alternating, alone);
}

TEST(Cancel, APrefillThatIsStoppedLeavesEverythingAsItWas) {
  BULKHEAD_LOAD(model, fake_kind());
  auto partition = open(model, "stopped");
  ASSERT_TRUE(partition.prefill("before").ok() && partition.generate(greedy(3)).ok());
  const auto before = show(partition);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(code(partition.prefill("more", stop.get_token())), ErrorCode::kInterrupted);
  EXPECT_EQ(code(partition.receive(*partition.last_output(), stop.get_token())), ErrorCode::kInterrupted);
  EXPECT_EQ(code(partition.chat("user", "more", stop.get_token())), ErrorCode::kInterrupted);
  EXPECT_EQ(show(partition), before);
}

}  // namespace
}  // namespace bulkhead::testing
