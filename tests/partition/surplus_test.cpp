// SPDX-License-Identifier: MIT
// What a generation said against what the cache holds of it, and how a partition gets rid of the rest.
#include "partition/surplus.h"

#include "base/hash.h"
#include "engines/fake/fake_engine.h"
#include "partition/partition.h"

#include <gtest/gtest.h>

namespace bulkhead::testing {
namespace {

using conversation::OriginKind;
using conversation::TracedTokens;
using engine::GenerateResult;
using engine::Token;
using engines::fake::kEnd;
using partition::Partition;
using partition::spoken;
using partition::Surplus;
using Finish = GenerateResult::Finish;

// The fake engine's tokens are bytes, and its end token.
GenerateResult drawn(std::string_view bytes, Finish finish) {
  GenerateResult result;
  for (const char byte : bytes) result.tokens.push_back(static_cast<unsigned char>(byte));
  if (finish == Finish::kEnd) result.tokens.push_back(kEnd);
  result.finish = finish;
  return result;
}

struct Case {
  std::string_view bytes;
  Finish finish = Finish::kLength;
  std::string_view text;
  std::optional<Surplus> surplus = std::nullopt;
};

TEST(Spoken, IsTheTextAndWhatTheCacheHoldsBesides) {
  const auto engine = engines::fake::make_fake_engine();
  const std::vector<std::string> stops = {"lo", "never"};
  const std::vector<Case> cases = {
      {"", Finish::kLength, ""},
      {"Hel", Finish::kLength, "Hel"},
      {"Hel", Finish::kEnd, "Hel"},
      {"h\xc3\xa9", Finish::kCancelled, "h\xc3\xa9"},
      {"Hello", Finish::kStop, "Hel", Surplus{.begin = 9, .keep = 12}},
      {"lo", Finish::kStop, "", Surplus{.begin = 9, .keep = 9}},
      {"h\xc3\xa9lo", Finish::kStop, "h\xc3\xa9", Surplus{.begin = 9, .keep = 12}},
      {"h\xc3", Finish::kLength, "h", Surplus{.begin = 9, .keep = 10, .unfinished = "\xc3", .open = true}},
      {"h\xf0\x93\x80", Finish::kCancelled, "h",
       Surplus{.begin = 9, .keep = 10, .unfinished = "\xf0\x93\x80", .open = true}},
      {"h\xc3", Finish::kEnd, "h", Surplus{.begin = 9, .keep = 10, .end = kEnd, .unfinished = "\xc3"}},
      {"a\xff"
       "b",
       Finish::kLength,
       "a\xef\xbf\xbd"
       "b",
       Surplus{.begin = 9,
               .keep = 10,
               .said = "\xef\xbf\xbd"
                       "b"}},
      {"a\xff\xc3", Finish::kLength, "a\xef\xbf\xbd",
       Surplus{.begin = 9, .keep = 10, .said = "\xef\xbf\xbd", .unfinished = "\xc3"}},
  };
  for (const auto& one : cases) {
    const auto result = spoken(drawn(one.bytes, one.finish), stops, engine->tokenizer(), 9, std::nullopt, {});
    EXPECT_EQ(result.text, one.text) << one.bytes;
    EXPECT_EQ(result.surplus, one.surplus) << one.bytes;
  }
}

TEST(Spoken, ACharacterIsFinishedByTheNextGeneration) {
  const auto engine = engines::fake::make_fake_engine();
  const auto& tokenizer = engine->tokenizer();
  const auto first = spoken(drawn("h\xf0\x93", Finish::kLength), {}, tokenizer, 9, std::nullopt, {});
  ASSERT_TRUE(first.surplus && first.surplus->open);
  const std::vector<Token> before = {0xf0, 0x93};
  const auto next = [&](std::string_view bytes, Finish finish) {
    return spoken(drawn(bytes, finish), {"!"}, tokenizer, 12, first.surplus, before);
  };
  const auto finished = next("\x80\x81 and", Finish::kLength);
  EXPECT_EQ(finished.text, "\xf0\x93\x80\x81 and");
  EXPECT_FALSE(finished.surplus);
  const auto stopped = next("\x80\x81!", Finish::kStop);
  EXPECT_EQ(stopped.text, "\xf0\x93\x80\x81");
  EXPECT_EQ(stopped.surplus, (Surplus{.begin = 12, .keep = 14}));
  const auto waits = next("\x80", Finish::kLength);
  EXPECT_EQ(waits.text, "");
  EXPECT_EQ(waits.surplus, (Surplus{.begin = 12, .keep = 10, .unfinished = "\xf0\x93\x80", .open = true}));
  const auto nothing = next("", Finish::kCancelled);
  EXPECT_EQ(nothing.surplus, (Surplus{.begin = 12, .keep = 10, .unfinished = "\xf0\x93", .open = true}));
  const auto broken = next("x", Finish::kLength);
  EXPECT_EQ(broken.text, "\xef\xbf\xbd\xef\xbf\xbdx");
  EXPECT_EQ(broken.surplus, (Surplus{.begin = 12, .keep = 10, .said = broken.text}));
}

TracedTokens traced_text(const engine::Engine& engine, std::string_view text) {
  TracedTokens tokens;
  tokens.append(engine.tokenizer().tokenize(text).value(), {.kind = OriginKind::kTurn, .turn = 1});
  return tokens;
}

constexpr std::uint32_t kCapacity = 64;

// A partition that said something and was stopped by its third character.
Partition stopped(engine::Engine& engine, std::string& text) {
  GenerateOptions options{.sampling = {.temperature = 0}, .max_tokens = 8};
  {
    auto probe = Partition::open(engine, "probe", {.capacity_tokens = kCapacity}).value();
    EXPECT_TRUE(probe.prefill(traced_text(engine, "say something")).ok());
    const std::vector<partition::GenerateRequest> requests = {{&probe, options, "A"}};
    text = partition::generate(engine, requests)[0].value().text.substr(0, 2);
    options.stop = {probe.output_message("A").value().text().substr(2, 2)};
  }
  auto made = Partition::open(engine, "p", {.capacity_tokens = kCapacity}).value();
  EXPECT_TRUE(made.prefill(traced_text(engine, "say something")).ok());
  const std::vector<partition::GenerateRequest> requests = {{&made, options, "A"}};
  const auto result = partition::generate(engine, requests)[0].value();
  EXPECT_EQ(result.text, text);
  EXPECT_EQ(result.tokens.size(), 4U);
  return made;
}

void expect_books_balance(const Partition& partition) {
  const auto& ledger = partition.ledger();
  EXPECT_EQ(ledger.prefilled_tokens + ledger.reused_tokens + ledger.generated_tokens - ledger.removed_tokens,
            ledger.tokens.size());
  const auto state = partition.inspect();
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state.value().tokens, ledger.tokens.size());
  EXPECT_EQ(state.value().token_sha256, ledger.token_sha256());
}

TEST(Settling, WaitsUntilItIsNeededAndKeepsTheOutput) {
  const auto engine = engines::fake::make_fake_engine();
  std::string text;
  auto partition = stopped(*engine, text);
  EXPECT_EQ(partition.inspect().value().tokens, 17U) << "one that is closed now has paid nothing";
  EXPECT_EQ(partition.ledger().removed_tokens, 0U);
  ASSERT_TRUE(partition.settle().ok());
  EXPECT_EQ(partition.ledger().token_sha256(), sha256_of_tokens(traced_text(*engine, "say something" + text).tokens));
  EXPECT_EQ(partition.ledger().removed_tokens, 2U);
  EXPECT_EQ(partition.ledger().count_by_origin().at(OriginKind::kGenerated), 2U);
  expect_books_balance(partition);
  EXPECT_EQ(partition.output_message("A").value().text(), text);
  ASSERT_TRUE(partition.settle().ok());
  EXPECT_EQ(partition.ledger().removed_tokens, 2U) << "there is nothing left to do";
}

TEST(Settling, IsDoneByWhateverComesNext) {
  const auto engine = engines::fake::make_fake_engine();
  std::string text;
  for (const std::string what : {"prefill", "generate", "fork"}) {
    auto partition = stopped(*engine, text);
    std::string behind;
    if (what == "prefill") {
      behind = "!";
      ASSERT_TRUE(partition.prefill(traced_text(*engine, "!")).ok());
    } else if (what == "generate") {
      const GenerateOptions options{.sampling = {.temperature = 0}, .max_tokens = 4};
      const std::vector<partition::GenerateRequest> requests = {{&partition, options, "B"}};
      behind = partition::generate(*engine, requests)[0].value().text;
    } else {
      auto fork = partition.fork("fork", 17, {.capacity_tokens = kCapacity});
      ASSERT_TRUE(fork.ok() && fork.value().settle().ok());
      partition = std::move(fork).value();
    }
    EXPECT_EQ(partition.ledger().token_sha256(),
              sha256_of_tokens(traced_text(*engine, "say something" + text + behind).tokens))
        << what;
    expect_books_balance(partition);
  }
}

TEST(Settling, ARefusedTextLeavesTheOutputAndTheBooksAlone) {
  const auto engine = engines::fake::make_fake_engine();
  std::string text;
  auto partition = stopped(*engine, text);
  const auto before = partition.ledger().token_sha256();
  EXPECT_EQ(partition.prefill(traced_text(*engine, std::string(kCapacity, 'x'))).error().code, ErrorCode::kResource);
  EXPECT_EQ(partition.prefill({}).error().code, ErrorCode::kBadInput);
  TracedTokens unknown;
  unknown.append(std::vector<Token>{99'999}, {.kind = OriginKind::kTurn});
  EXPECT_EQ(partition.prefill(unknown).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(partition.ledger().token_sha256(), before);
  EXPECT_EQ(partition.inspect().value().tokens, 17U);
  EXPECT_TRUE(partition.output_message("A").ok());
}

TEST(Settling, NeedsNoRoomBesideItsOwn) {
  const auto engine = engines::fake::make_fake_engine({.max_sequences = 1});
  std::string text;
  auto partition = stopped(*engine, text);
  ASSERT_TRUE(partition.settle().ok());
  EXPECT_EQ(partition.ledger().token_sha256(), sha256_of_tokens(traced_text(*engine, "say something" + text).tokens));
  expect_books_balance(partition);
}

TEST(Settling, ThatFailsPoisonsThisOneOnly) {
  // Sequences 0 and 1 are those of stopped(), whose result is the second.
  using engines::fake::Fault;
  const auto engine = engines::fake::make_fake_engine(
      {.max_sequences = 1, .faults = {{.kind = Fault::Kind::kFailTruncate, .sequence = 1}}});
  std::string text;
  auto partition = stopped(*engine, text);
  EXPECT_EQ(partition.settle().error().code, ErrorCode::kInternal);
  EXPECT_EQ(partition.prefill(traced_text(*engine, "x")).error().code, ErrorCode::kClosed);
  EXPECT_TRUE(partition.close().ok());
  EXPECT_TRUE(Partition::open(*engine, "next", {.capacity_tokens = kCapacity}).ok());
}

}  // namespace
}  // namespace bulkhead::testing
