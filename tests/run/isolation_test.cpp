// SPDX-License-Identifier: MIT
// The verdict on made-up evidence: every kind of objection, and none where there is nothing to object to.
#include "run/isolation.h"
#include "base/hash.h"
#include "run/small_scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bulkhead::testing {
namespace {

using conversation::Origin;
using conversation::OriginKind;
using conversation::TracedTokens;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Output C of cluster_3 with one turn, one message and a generated token: all as it should be.
struct Case {
  std::shared_ptr<const conversation::Scenario> scenario = small_scenario();
  TracedTokens expected;
  partition::Ledger ledger;
  run::SentMessages sent = {{"A", "sum-of-a"}};
  engine::SequenceState state;

  Case() {
    add(expected, 1, {.kind = OriginKind::kBos, .turn = 0, .label = {}});
    add(expected, 2, {.kind = OriginKind::kMessage, .turn = 0, .label = "A"});
    add(expected, 3, {.kind = OriginKind::kTurn, .turn = 5, .label = {}});
    add(expected, 4, {.kind = OriginKind::kPrompt, .turn = 0, .label = "C"});
    ledger.tokens = expected;
    add(ledger.tokens, 9, {.kind = OriginKind::kGenerated, .turn = 0, .label = "C"});
    ledger.messages = {{"A", "semantic/cluster_1", "sum-of-a", 1}};
    agree();
  }

  static void add(TracedTokens& tokens, std::int32_t token, const Origin& origin) {
    tokens.append(std::span(&token, 1), origin);
  }

  // The engine says what the ledger says.
  void agree() {
    state.tokens = static_cast<std::uint32_t>(ledger.tokens.size());
    state.pending_tokens = 1;
    state.first_position = 0;
    state.last_position = static_cast<std::int64_t>(state.tokens) - 2;
    state.token_sha256 = ledger.token_sha256();
  }

  [[nodiscard]] std::vector<std::string> judge(std::uint32_t window = 0) const {
    return run::objections({.output = "C",
                            .cluster = "cluster_3",
                            .partition = "semantic/cluster_3",
                            .expected = expected,
                            .ledger = &ledger,
                            .state = state,
                            .window_tokens = window},
                           *scenario, sent);
  }
};

TEST(Verdict, NothingToObjectTo) {
  EXPECT_THAT(Case().judge(), IsEmpty());
}

TEST(Verdict, ForeignTurn) {
  Case c;
  Case::add(c.ledger.tokens, 7, {.kind = OriginKind::kTurn, .turn = 1, .label = {}});
  c.agree();
  EXPECT_THAT(c.judge(), Contains(HasSubstr("1 tokens of turns of cluster_1")));
}

TEST(Verdict, ForeignTurnIsSeenEvenWhenThePlanAskedForIt) {
  Case c;
  Case::add(c.expected, 7, {.kind = OriginKind::kTurn, .turn = 1, .label = {}});
  c.ledger.tokens = c.expected;
  c.agree();
  EXPECT_THAT(c.judge(), ElementsAre(HasSubstr("turns of cluster_1")));
}

TEST(Verdict, UnknownTurn) {
  Case c;
  Case::add(c.ledger.tokens, 7, {.kind = OriginKind::kTurn, .turn = 99, .label = {}});
  c.agree();
  EXPECT_THAT(c.judge(), Contains(HasSubstr("unknown turn 99")));
}

TEST(Verdict, MessageFromAWrongSource) {
  Case c;
  Case::add(c.ledger.tokens, 7, {.kind = OriginKind::kMessage, .turn = 0, .label = "D"});
  c.agree();
  EXPECT_THAT(c.judge(), Contains(HasSubstr("message D, which it must not receive")));
}

TEST(Verdict, MessageNobodySent) {
  Case c;
  c.sent.clear();
  EXPECT_THAT(c.judge(), ElementsAre(HasSubstr("that nobody sent")));
}

TEST(Verdict, MessageThatWasChangedOnTheWay) {
  Case c;
  c.ledger.messages[0].sha256 = "another-sum";
  EXPECT_THAT(c.judge(), ElementsAre(HasSubstr("differs from what was sent")));
}

TEST(Verdict, MessageThatNeverReachedTheCache) {
  Case c;
  c.ledger.messages[0].tokens = 0;
  EXPECT_THAT(c.judge(), ElementsAre(HasSubstr("not in the cache")));
}

TEST(Verdict, PromptOfAnotherOutput) {
  Case c;
  Case::add(c.ledger.tokens, 7, {.kind = OriginKind::kGenerated, .turn = 0, .label = "A"});
  c.agree();
  EXPECT_THAT(c.judge(), Contains(HasSubstr("generated of output A")));
}

TEST(Verdict, LostToken) {
  Case c;
  c.ledger.tokens = c.ledger.tokens.slice(0, 3);
  c.agree();
  EXPECT_THAT(c.judge(), ElementsAre(HasSubstr("lost 1 of 4")));
}

TEST(Verdict, SwappedToken) {
  Case c;
  c.ledger.tokens.tokens[2] = 8;
  c.agree();
  EXPECT_THAT(c.judge(), ElementsAre(HasSubstr("token 2 of its cache is 8")));
}

TEST(Verdict, TokenTracedToAnotherOrigin) {
  Case c;
  c.expected = {};
  Case::add(c.expected, 1, {.kind = OriginKind::kBos, .turn = 0, .label = {}});
  Case::add(c.expected, 2, {.kind = OriginKind::kMarker, .turn = 5, .label = {}});
  EXPECT_THAT(c.judge(), ElementsAre(HasSubstr("from message, planned was 2 from marker")));
}

TEST(Verdict, EngineHoldsMoreLessOrOther) {
  Case more;
  ++more.state.tokens;
  ++more.state.last_position;
  EXPECT_THAT(more.judge(), ElementsAre(HasSubstr("the engine holds 6 tokens, the ledger 5")));
  Case other;
  other.state.token_sha256 = sha256_hex("other");
  EXPECT_THAT(other.judge(), ElementsAre(HasSubstr("other tokens than the ledger")));
}

TEST(Verdict, Positions) {
  Case newest;
  newest.state.last_position = 2;
  EXPECT_THAT(newest.judge(), ElementsAre(HasSubstr("newest position")));
  Case oldest;
  oldest.state.first_position = 2;
  EXPECT_THAT(oldest.judge(), ElementsAre(HasSubstr("oldest position")));
  EXPECT_THAT(oldest.judge(2), IsEmpty());  // a window of 2 may have dropped positions 0 and 1
  EXPECT_THAT(oldest.judge(3), ElementsAre(HasSubstr("oldest position")));
}

}  // namespace
}  // namespace bulkhead::testing
