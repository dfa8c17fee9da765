// SPDX-License-Identifier: MIT
#include "partition/partition.h"
#include "base/hash.h"
#include "engines/fake/fake_engine.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace bulkhead::testing {
namespace {

using conversation::Origin;
using conversation::OriginKind;
using conversation::TracedTokens;
using partition::Partition;

static_assert(!std::is_copy_constructible_v<Partition> && !std::is_copy_assignable_v<Partition>,
              "copying a cache is the named call fork()");
static_assert(!std::is_default_constructible_v<Message>, "only a finished output makes a message");
static_assert(!std::is_constructible_v<Message, std::string, std::string, std::string, std::string>,
              "a message cannot be forged");

TracedTokens traced(const engine::Engine& engine, std::string_view text,
                    Origin origin = {.kind = OriginKind::kTurn, .turn = 1}) {
  TracedTokens tokens;
  const auto ids = engine.tokenizer().tokenize(text);
  EXPECT_TRUE(ids.ok());
  tokens.append(ids.value(), origin);
  return tokens;
}

Partition open(engine::Engine& engine, std::string name) {
  auto opened = Partition::open(engine, std::move(name), {.capacity_tokens = 256});
  EXPECT_TRUE(opened.ok());
  return std::move(opened).value();
}

std::string generate(engine::Engine& engine, Partition& partition, std::uint32_t tokens = 8) {
  GenerateOptions options;
  options.max_tokens = tokens;
  options.sampling.temperature = 0;
  const std::vector<partition::GenerateRequest> requests = {{&partition, options, "A"}};
  auto results = partition::generate(engine, requests);
  EXPECT_TRUE(results.front().ok());
  return results.front().ok() ? results.front().value().text : std::string();
}

TEST(Partition, LedgerFollowsPrefillAndGenerate) {
  const auto engine = engines::fake::make_fake_engine();
  auto partition = open(*engine, "p");
  const auto tokens = traced(*engine, "hello");
  ASSERT_TRUE(partition.prefill(tokens).ok());
  EXPECT_EQ(partition.ledger().prefilled_tokens, 5U);
  generate(*engine, partition);
  EXPECT_EQ(partition.ledger().generated_tokens, 8U);
  EXPECT_EQ(partition.ledger().tokens.size(), 13U);
  EXPECT_EQ(partition.ledger().count_by_origin().at(OriginKind::kGenerated), 8U);
  const auto state = partition.inspect();
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state.value().tokens, 13U);
  EXPECT_EQ(state.value().token_sha256, partition.ledger().token_sha256());
}

TEST(Partition, RefusedPrefillLeavesTheLedgerAlone) {
  const auto engine = engines::fake::make_fake_engine();
  auto partition = open(*engine, "p");
  ASSERT_TRUE(partition.prefill(traced(*engine, "kept")).ok());
  const auto before = partition.ledger().token_sha256();
  const auto refused = partition.prefill(traced(*engine, std::string(300, 'x')));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResource);
  EXPECT_EQ(partition.ledger().token_sha256(), before);
  EXPECT_EQ(partition.inspect().value().tokens, 4U);
}

TEST(Partition, ForkTakesThePrefixAndGoesItsOwnWay) {
  const auto engine = engines::fake::make_fake_engine();
  auto source = open(*engine, "source");
  ASSERT_TRUE(source.prefill(traced(*engine, "shared and more")).ok());
  auto fork = source.fork("fork", 6, {.capacity_tokens = 256});
  ASSERT_TRUE(fork.ok());
  EXPECT_EQ(fork.value().ledger().tokens.size(), 6U);
  EXPECT_EQ(fork.value().ledger().reused_tokens + fork.value().ledger().prefilled_tokens, 6U);
  auto alone = open(*engine, "alone");
  ASSERT_TRUE(alone.prefill(traced(*engine, "shared")).ok());
  EXPECT_EQ(generate(*engine, fork.value()), generate(*engine, alone));
  EXPECT_EQ(source.ledger().tokens.size(), 15U);
}

TEST(Partition, MessagesCarryTheFinishedTextAndItsProvenance) {
  const auto engine = engines::fake::make_fake_engine();
  auto sender = open(*engine, "sender");
  EXPECT_EQ(sender.output_message("A").error().code, ErrorCode::kBadInput);
  ASSERT_TRUE(sender.prefill(traced(*engine, "say something")).ok());
  EXPECT_FALSE(sender.output_message("A").ok());
  const auto text = generate(*engine, sender);
  const auto message = sender.output_message("A");
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message.value().text(), text);
  EXPECT_EQ(message.value().from(), "sender");
  EXPECT_EQ(message.value().sha256(), sha256_hex(text));

  auto receiver = open(*engine, "receiver");
  EXPECT_EQ(receiver.receive(message.value()), text);
  EXPECT_EQ(receiver.ledger().messages.front().tokens, 0U);
  ASSERT_TRUE(receiver.prefill(traced(*engine, text, {.kind = OriginKind::kMessage, .turn = 0, .label = "A"})).ok());
  EXPECT_EQ(receiver.ledger().messages.front().tokens, 8U);
}

TEST(Partition, ANewPrefillEndsTheOldOutput) {
  const auto engine = engines::fake::make_fake_engine();
  auto partition = open(*engine, "p");
  ASSERT_TRUE(partition.prefill(traced(*engine, "one")).ok());
  generate(*engine, partition);
  ASSERT_TRUE(partition.prefill(traced(*engine, "two")).ok());
  EXPECT_FALSE(partition.output_message("A").ok());
}

TEST(Partition, ACancelledGenerationIsNoMessage) {
  const auto engine = engines::fake::make_fake_engine();
  auto partition = open(*engine, "p");
  ASSERT_TRUE(partition.prefill(traced(*engine, "one")).ok());
  GenerateOptions options;
  options.on_token = [](const TokenEvent& event) { return event.index < 2; };
  const std::vector<partition::GenerateRequest> requests = {{&partition, options, "A"}};
  const auto results = partition::generate(*engine, requests);
  ASSERT_TRUE(results.front().ok());
  EXPECT_EQ(results.front().value().finish, engine::GenerateResult::Finish::kCancelled);
  EXPECT_FALSE(partition.output_message("A").ok());
}

// An output of `text`'s length; what it says does not matter.
Message message_of(engine::Engine& engine, const std::string& label, std::uint32_t tokens = 8) {
  auto sender = open(engine, "sender of " + label);
  EXPECT_TRUE(sender.prefill(traced(engine, "say " + label)).ok());
  generate(engine, sender, tokens);
  auto message = sender.output_message(label);
  EXPECT_TRUE(message.ok());
  return std::move(message).value();
}

TracedTokens received(const engine::Engine& engine, const Message& message) {
  return traced(engine, message.text(), {.kind = OriginKind::kMessage, .turn = 0, .label = message.label()});
}

TEST(Partition, ARefusedMessageLeavesNoReceipt) {
  const auto engine = engines::fake::make_fake_engine();
  const auto message = message_of(*engine, "A", 100);
  auto full = open(*engine, "full");
  ASSERT_TRUE(full.prefill(traced(*engine, std::string(200, 'x'))).ok());
  generate(*engine, full, 2);
  EXPECT_EQ(full.receive(message, received(*engine, message)).error().code, ErrorCode::kResource);
  EXPECT_EQ(full.receive(message, {}).error().code, ErrorCode::kBadInput);
  EXPECT_TRUE(full.ledger().messages.empty());
  EXPECT_TRUE(full.output_message("B").ok()) << "its own output is still there";
  auto empty = open(*engine, "empty");
  ASSERT_TRUE(empty.receive(message, received(*engine, message)).ok());
  ASSERT_EQ(empty.ledger().messages.size(), 1U);
  EXPECT_EQ(empty.ledger().messages[0].tokens, 100U);
  EXPECT_EQ(empty.ledger().messages[0].from, "sender of A");
}

TEST(Partition, MessagesOfOneLabelCountTheirOwnTokens) {
  const auto engine = engines::fake::make_fake_engine();
  auto partition = open(*engine, "p");
  for (const std::uint32_t tokens : {8U, 5U}) {
    const auto message = message_of(*engine, "", tokens);
    ASSERT_TRUE(partition.receive(message, received(*engine, message)).ok());
  }
  EXPECT_EQ(partition.ledger().messages[0].tokens, 8U);
  EXPECT_EQ(partition.ledger().messages[1].tokens, 5U);
}

TEST(Partition, AForkHasTheReceiptsOfWhatItHolds) {
  const auto engine = engines::fake::make_fake_engine();
  auto source = open(*engine, "source");
  ASSERT_TRUE(source.prefill(traced(*engine, "12345")).ok());
  for (const std::string label : {"", "", "C"}) {
    const auto message = message_of(*engine, label, 4);
    ASSERT_TRUE(source.receive(message, received(*engine, message)).ok());
  }
  const std::vector<std::pair<std::uint32_t, std::vector<std::uint32_t>>> cuts = {
      {0, {}}, {5, {}}, {7, {2}}, {9, {4}}, {13, {4, 4}}, {14, {4, 4, 1}}, {17, {4, 4, 4}}};
  for (const auto& [at, tokens] : cuts) {
    const auto fork = source.fork("fork", at, {.capacity_tokens = 64});
    ASSERT_TRUE(fork.ok());
    std::vector<std::uint32_t> found;
    for (const auto& receipt : fork.value().ledger().messages) found.push_back(receipt.tokens);
    EXPECT_EQ(found, tokens) << at;
  }
  EXPECT_EQ(source.fork("fork", 18, {.capacity_tokens = 64}).error().code, ErrorCode::kBadInput);
}

TEST(Partition, ABatchRefusesWhatIsNotItsOwnAndRunsTheRest) {
  const auto engine = engines::fake::make_fake_engine();
  const auto other = engines::fake::make_fake_engine();
  auto mine = open(*engine, "mine");
  auto twice = open(*engine, "twice");
  auto closed = open(*engine, "closed");
  auto foreign = open(*other, "foreign");
  for (auto* partition : {&mine, &twice, &closed}) ASSERT_TRUE(partition->prefill(traced(*engine, "text")).ok());
  ASSERT_TRUE(foreign.prefill(traced(*other, "text")).ok());
  ASSERT_TRUE(closed.close().ok());
  const GenerateOptions options{.sampling = {.temperature = 0}, .max_tokens = 4};
  const std::vector<partition::GenerateRequest> requests = {{nullptr, options, ""}, {&foreign, options, ""},
                                                            {&twice, options, ""},  {&mine, options, ""},
                                                            {&closed, options, ""}, {&twice, options, ""}};
  const auto results = partition::generate(*engine, requests);
  ASSERT_EQ(results.size(), requests.size());
  for (const std::size_t i : {0U, 1U, 2U, 5U}) EXPECT_EQ(results[i].error().code, ErrorCode::kUsage) << i;
  EXPECT_EQ(results[4].error().code, ErrorCode::kClosed);
  ASSERT_TRUE(results[3].ok());
  EXPECT_EQ(mine.ledger().tokens.size(), 8U);
  for (const auto* partition : {&twice, &foreign}) {
    EXPECT_EQ(partition->ledger().tokens.size(), 4U);
    EXPECT_EQ(partition->inspect().value().tokens, 4U);
  }
}

TEST(Partition, AClosedOneIsRefusedByEveryCall) {
  const auto engine = engines::fake::make_fake_engine();
  const auto message = message_of(*engine, "A");
  auto open_one = open(*engine, "p");
  auto moved = open(*engine, "q");
  const auto here = std::move(moved);
  ASSERT_TRUE(open_one.prefill(traced(*engine, "text")).ok() && open_one.close().ok());
  for (auto* partition : {&open_one, &moved}) {  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(partition->prefill(traced(*engine, "x")).error().code, ErrorCode::kClosed);
    EXPECT_EQ(partition->receive(message, received(*engine, message)).error().code, ErrorCode::kClosed);
    EXPECT_EQ(partition->fork("f", 0, {.capacity_tokens = 8}).error().code, ErrorCode::kClosed);
    EXPECT_EQ(partition->inspect().error().code, ErrorCode::kClosed);
    EXPECT_EQ(partition->close().error().code, ErrorCode::kClosed);
    EXPECT_TRUE(partition->ledger().messages.empty());
  }
  EXPECT_TRUE(here.inspect().ok());
}

TEST(Partition, ClosingGivesTheRoomBack) {
  const auto engine = engines::fake::make_fake_engine({.max_sequences = 1});
  for (int i = 0; i < 3; ++i) {
    auto partition = open(*engine, "p");
    EXPECT_FALSE(Partition::open(*engine, "second", {.capacity_tokens = 8}).ok());
    auto moved = std::move(partition);  // one owner: closed once
    EXPECT_TRUE(moved.prefill(traced(*engine, "x")).ok());
  }
}

}  // namespace
}  // namespace bulkhead::testing
