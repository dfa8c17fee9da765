// SPDX-License-Identifier: MIT
// Snapshot, restore and state_hash: what every engine must do, whatever it is made of.
#include "engines/conformance.h"

#include "base/bytes.h"
#include "base/json.h"
#include "json_of.h"

#include <algorithm>

namespace bulkhead::testing {
namespace {

using engine::Snapshot;

class SnapshotConformance : public Conformance {
 protected:
  Snapshot snapshot(SequenceId id) {
    auto made = engine_->snapshot(id);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
    return made.ok() ? std::move(made).value() : Snapshot({});
  }

  SequenceId restore(const Snapshot& from, std::uint32_t capacity = 256) {
    const auto made = engine_->restore(from, {.capacity_tokens = capacity});
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
    if (!made.ok()) return SequenceId(~0U);
    opened_.push_back(made.value());
    return made.value();
  }

  // The contract of restore().
  [[nodiscard]] bool exact() const {
    const auto& facts = engine_->facts();
    return facts.batch_invariant || (facts.grade != Grade::kMask && facts.window_tokens == 0);
  }

  // Both go on with the same calls.
  void expect_same_future(SequenceId one, SequenceId other) {
    EXPECT_EQ(inspect(one).token_sha256, inspect(other).token_sha256);
    EXPECT_EQ(inspect(one).pending_tokens, inspect(other).pending_tokens);
    EXPECT_EQ(inspect(one).last_position, inspect(other).last_position);
    const auto more = engine_->tokenizer().tokenize(" and then").value();
    for (int round = 0; round < 2; ++round) {
      const auto first = generate(one, round == 0 ? greedy(6) : sampled(6, 5));
      const auto second = generate(other, round == 0 ? greedy(6) : sampled(6, 5));
      EXPECT_EQ(first.tokens.size(), 6U);
      if (exact()) {
        EXPECT_EQ(first.tokens, second.tokens) << round;
        EXPECT_EQ(first.logit_hashes, second.logit_hashes) << round;
      }
      prefill(one, more);
      prefill(other, more);
    }
    const auto scores = engine_->score(one, more);
    const auto others = engine_->score(other, more);
    ASSERT_TRUE(scores.ok() && others.ok());
    if (exact()) {
      EXPECT_EQ(scores.value(), others.value());
    }
  }

  // As expect_same_future(), for a source that is still in the state that the snapshot was made of.
  void expect_restored_like(SequenceId source) {
    const auto copy = restore(snapshot(source));
    EXPECT_NE(copy, source);
    expect_same_future(source, copy);
  }
};

TEST_P(SnapshotConformance, IsACapability) {
  EXPECT_TRUE(engine_->can(engine::Capability::kSnapshot));
}

TEST_P(SnapshotConformance, AfterAPrefillItKeepsTheLogits) {
  expect_restored_like(open_with(kStory));
}

TEST_P(SnapshotConformance, AfterAGenerationItKeepsThePendingToken) {
  const auto source = open_with(kStory);
  static_cast<void>(generate(source, greedy(4)));
  expect_restored_like(source);
}

TEST_P(SnapshotConformance, BehindASlidingWindow) {
  const auto source = open_with(kStory);
  prefill(source, engine_->tokenizer().tokenize(kOther).value());
  ASSERT_GT(inspect(source).tokens, kTinyWindow);
  static_cast<void>(generate(source, greedy(3)));
  expect_restored_like(source);
}

TEST_P(SnapshotConformance, OfAForkWhoseCellsAreNotCopiedYet) {
  const auto source = open_with(kStory);
  expect_restored_like(fork(source, inspect(source).tokens));
  expect_restored_like(fork(source, inspect(source).tokens / 2));
  const auto early = fork(source, inspect(source).tokens);
  const auto kept = snapshot(source);
  const auto copy = restore(kept);
  expect_same_future(early, copy);
}

TEST_P(SnapshotConformance, ACopyThatWaitsDoesNotOverwriteWhatIsRestored) {
  const auto kept = snapshot(open_with(kStory));
  const auto source = open_with(kOther);
  const auto gone = fork(source, inspect(source).tokens);
  ASSERT_TRUE(engine_->close(gone).ok());
  const auto copy = restore(kept);  // most likely in the room of `gone`
  expect_same_future(open_with(kStory), copy);
}

TEST_P(SnapshotConformance, OfAnEmptySequence) {
  const auto copy = restore(snapshot(open()));
  EXPECT_EQ(inspect(copy).tokens, 0U);
  EXPECT_EQ(inspect(copy).last_position, -1);
  prefill(copy, tokens(kStory));
  expect_same_future(open_with(kStory), copy);
}

TEST_P(SnapshotConformance, OutlivesItsSourceAndIsNotChangedByWhatComesAfter) {
  const auto source = open_with(kStory);
  const auto kept = snapshot(source);
  static_cast<void>(generate(source, greedy(5)));
  ASSERT_TRUE(engine_->close(source).ok());
  static_cast<void>(open_with(kOther));
  // Its bytes are all there is to it.
  const Snapshot read_back(std::vector<std::byte>(kept.bytes()));
  expect_same_future(open_with(kStory), restore(read_back));
}

TEST_P(SnapshotConformance, IntoMoreRoomThanItsSourceHad) {
  const auto source = open_with(kStory);
  const auto kept = snapshot(source);
  const auto copy = restore(kept, 1024);
  const auto state = inspect(copy);  // takes what it holds, or all that it may hold
  EXPECT_GE(state.kv_bytes_allocated, paged() ? state.kv_bytes_used : 1024 * engine_->facts().kv_bytes_per_token);
  expect_same_future(source, copy);
}

TEST_P(SnapshotConformance, DoesNotTouchItsSource) {
  const auto source = open_with(kStory);
  const auto before = inspect(source);
  const auto hash = engine_->state_hash(source);
  static_cast<void>(restore(snapshot(source)));
  EXPECT_EQ(inspect(source).token_sha256, before.token_sha256);
  EXPECT_EQ(inspect(source).last_position, before.last_position);
  EXPECT_EQ(inspect(source).first_position, before.first_position);
  const auto again = engine_->state_hash(source);
  ASSERT_TRUE(hash.ok() && again.ok());
  EXPECT_EQ(hash.value(), again.value());
}

TEST_P(SnapshotConformance, DamageIsFoundWhereverItIs) {
  const auto source = open_with(kStory);
  const auto neighbour = open_with(kOther);
  const auto hash = engine_->state_hash(neighbour);
  const auto good = snapshot(source).bytes();
  const auto refused = [&](std::vector<std::byte> bytes) {
    const auto made = engine_->restore(Snapshot(std::move(bytes)), {.capacity_tokens = 256});
    EXPECT_FALSE(made.ok());
    EXPECT_TRUE(made.ok() || made.error().code == ErrorCode::kCorrupt) << made.error().to_string();
  };
  for (std::size_t i = 0; i < 16; ++i) {
    auto damaged = good;
    damaged[good.size() * i / 16] ^= std::byte{1};
    refused(std::move(damaged));
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{40}, good.size() / 2, good.size() - 1}) {
    refused({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
  }
  auto longer = good;
  longer.push_back(std::byte{0});
  refused(std::move(longer));
  // Nothing was harmed, and the room of what was not restored is clean.
  EXPECT_EQ(engine_->state_hash(neighbour).value(), hash.value());
  expect_same_future(open_with(kStory), restore(Snapshot(good)));
}

// What a snapshot says it fits (engine/snapshot.h has the layout).
engine::SnapshotFit fit_of(const Snapshot& snapshot) {
  ByteReader reader(snapshot.bytes());
  EXPECT_EQ(reader.text(8), "BHSNAP01");
  const auto header = json_of(reader.text(reader.number<std::uint64_t>()));
  engine::SnapshotFit fit;
  for (const auto& [field, value] : header["fit"].items()) fit.emplace_back(field, value.get<std::string>());
  return fit;
}

TEST_P(SnapshotConformance, AForeignOneIsRefusedWithTheFieldThatDiffers) {
  const auto fit = fit_of(snapshot(open_with(kStory)));
  EXPECT_GT(fit.size(), 10U);
  for (std::size_t i = 0; i < fit.size(); ++i) {
    auto foreign = fit;
    foreign[i].second += " and more";
    const auto made = engine_->restore(engine::pack_snapshot(foreign, tokens(kStory), {}), {.capacity_tokens = 256});
    ASSERT_FALSE(made.ok()) << fit[i].first;
    EXPECT_EQ(made.error().code, ErrorCode::kBadInput);
    EXPECT_NE(made.error().message.find("its " + foreign[i].first + " is \"" + foreign[i].second + "\""),
              std::string::npos)
        << made.error().message;
  }
  const auto nothing = engine_->restore(engine::pack_snapshot({}, tokens(kStory), {}), {.capacity_tokens = 256});
  EXPECT_NE(nothing.error().message.find("engine is \"(nothing)\""), std::string::npos) << nothing.error().message;
  // It fits, and yet this engine never wrote it.
  const auto hollow = engine_->restore(engine::pack_snapshot(fit, tokens(kStory), {}), {.capacity_tokens = 256});
  EXPECT_EQ(hollow.error().code, ErrorCode::kCorrupt) << hollow.error().to_string();
}

TEST_P(SnapshotConformance, TooLittleRoomIsNoDamage) {
  const auto source = open_with(kStory);
  const auto size = inspect(source).tokens;
  const auto made = engine_->restore(snapshot(source), {.capacity_tokens = size - 1});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kResource) << made.error().to_string();
  EXPECT_NE(made.error().message.find(std::to_string(size)), std::string::npos);
  EXPECT_TRUE(engine_->close(source).ok());
  EXPECT_EQ(engine_->snapshot(source).error().code, ErrorCode::kClosed);
}

TEST_P(SnapshotConformance, StateHashChangesWithItsOwnActionsOnly) {
  const auto id = open_with(kStory);
  const auto before = engine_->state_hash(id);
  ASSERT_TRUE(before.ok()) << before.error().to_string();
  EXPECT_EQ(engine_->state_hash(id).value(), before.value()) << "asking changes nothing";
  const auto other = open_with(kOther);
  static_cast<void>(generate(other, greedy(4)));
  EXPECT_EQ(engine_->state_hash(id).value(), before.value()) << "another's actions";
  ASSERT_TRUE(engine_->close(other).ok());
  EXPECT_EQ(engine_->state_hash(id).value(), before.value()) << "another's end";
  prefill(id, engine_->tokenizer().tokenize(" then").value());
  EXPECT_NE(engine_->state_hash(id).value(), before.value());
  ASSERT_TRUE(engine_->close(id).ok());
  EXPECT_EQ(engine_->state_hash(id).error().code, ErrorCode::kClosed);
}

BULKHEAD_FOR_ALL_ENGINES(SnapshotConformance);

}  // namespace
}  // namespace bulkhead::testing
