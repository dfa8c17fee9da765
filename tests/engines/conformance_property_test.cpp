// SPDX-License-Identifier: MIT
// Random lists of actions on an engine against a naive model of it: a sequence is a list of tokens, a fork is a copy of
// a list, and what is generated is what a second engine gives for the whole list, computed anew and alone, whatever
// jobs run beside it. rapidcheck shrinks a list that fails.
#include "engines/conformance.h"

#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <optional>
#include <ostream>

namespace bulkhead::testing {
namespace {

enum class Action { kOpen, kPrefill, kFork, kGenerate, kScore, kCopy, kTruncate, kSubmit, kAdvance, kCancel, kClose };

struct Step {
  Action action = Action::kOpen;
  std::uint32_t which = 0;  // of the open sequences, modulo their number
  std::uint32_t size = 0;   // tokens
};

std::ostream& operator<<(std::ostream& out, const Step& step) {
  constexpr std::array kNames = {"open",     "prefill", "fork",    "generate", "score", "copy",
                                 "truncate", "submit",  "advance", "cancel",   "close"};
  return out << kNames[static_cast<std::size_t>(step.action)] << '(' << step.which << ", " << step.size << ')';
}

}  // namespace
}  // namespace bulkhead::testing

template <>
struct rc::Arbitrary<bulkhead::testing::Step> {
  static Gen<bulkhead::testing::Step> arbitrary() {
    using bulkhead::testing::Action;
    using bulkhead::testing::Step;
    return gen::build<Step>(gen::set(&Step::action, gen::weightedElement<Action>({{3, Action::kOpen},
                                                                                  {6, Action::kPrefill},
                                                                                  {3, Action::kFork},
                                                                                  {4, Action::kGenerate},
                                                                                  {2, Action::kScore},
                                                                                  {2, Action::kCopy},
                                                                                  {2, Action::kTruncate},
                                                                                  {5, Action::kSubmit},
                                                                                  {8, Action::kAdvance},
                                                                                  {1, Action::kCancel},
                                                                                  {1, Action::kClose}})),
                            gen::set(&Step::which, gen::inRange<std::uint32_t>(0, 8)),
                            gen::set(&Step::size, gen::inRange<std::uint32_t>(0, 48)));
  }
};

namespace bulkhead::testing {
namespace {

constexpr std::uint32_t kCapacity = 100;
constexpr std::size_t kMostOpen = 6;

class ConformanceProperty : public Conformance {
 protected:
  // Of a sequence, what it will have computed.
  struct Running {
    engine::JobId id;
    std::vector<Token> prefill;
    std::uint32_t count = 0;  // of tokens to generate
    bool cancelled = false;
  };
  struct Naive {
    SequenceId id;
    std::vector<Token> tokens;
    std::optional<Running> job = {};
  };

  void SetUp() override {
    Conformance::SetUp();
    auto made = make_engine(GetParam());
    ASSERT_TRUE(made.ok());
    alone_ = std::move(made).value();
  }

  // Tokens of the vocabulary's plain part, other ones at each call.
  std::vector<Token> some_tokens(std::uint32_t count) {
    std::vector<Token> made;
    for (std::uint32_t i = 0; i < count; ++i) made.push_back(static_cast<Token>(32 + (next_ += 37) % 90));
    return made;
  }

  // What the naive model says: all of it at once, in an engine that holds nothing else.
  std::vector<Token> generated_alone(const std::vector<Token>& tokens, std::uint32_t count) {
    const auto id = alone_->open({.capacity_tokens = kCapacity});
    RC_ASSERT(id.ok());
    RC_ASSERT(alone_->prefill(id.value(), tokens).ok());
    const GenerateRequest request{id.value(), greedy(count)};
    auto results = alone_->generate({&request, 1});
    RC_ASSERT(results[0].ok());
    RC_ASSERT(alone_->close(id.value()).ok());
    return results[0].value().tokens;
  }

  void open_one() {
    const auto id = engine_->open({.capacity_tokens = kCapacity});
    RC_ASSERT(id.ok());
    held_.push_back({id.value(), {}, {}});
  }

  void append(Naive& one, std::uint32_t size, bool score) {
    const auto added = some_tokens(size);
    const bool full = one.tokens.size() + size > kCapacity;
    const bool fails = size == 0 || full || (score && one.tokens.empty());
    const auto expected = full ? ErrorCode::kResource : ErrorCode::kBadInput;
    const auto check = [&](const auto& done) {
      RC_ASSERT(done.ok() == !fails);
      if (fails) RC_ASSERT(done.error().code == expected);
    };
    score ? check(engine_->score(one.id, added)) : check(engine_->prefill(one.id, added));
    if (!fails) one.tokens.insert(one.tokens.end(), added.begin(), added.end());
    advance(1);  // jobs of others that ended meanwhile are told of
  }

  void fork_one(const Naive& from, std::uint32_t tokens) {
    const auto made = engine_->fork(from.id, tokens, {.capacity_tokens = kCapacity});
    RC_ASSERT(made.ok() == (tokens <= from.tokens.size()));
    if (!made.ok()) {
      RC_ASSERT(made.error().code == ErrorCode::kBadInput);
      return;
    }
    RC_ASSERT(made.value().reused_tokens + made.value().prefilled_tokens == tokens);
    held_.push_back({made.value().sequence, {from.tokens.begin(), from.tokens.begin() + tokens}, {}});
  }

  void copy_one(const Naive& from) {
    if (!engine_->can(engine::Capability::kSnapshot)) return;
    const auto image = engine_->snapshot(from.id);
    RC_ASSERT(image.ok());
    const auto made = engine_->restore(image.value(), {.capacity_tokens = kCapacity});
    RC_ASSERT(made.ok());
    held_.push_back({made.value(), from.tokens, {}});
  }

  void truncate_one(Naive& one, std::uint32_t tokens) {
    const auto done = engine_->truncate(one.id, tokens);
    RC_ASSERT(done.ok() == (tokens <= one.tokens.size()));
    if (done.ok()) one.tokens.resize(tokens);
  }

  void submit_one(Naive& one, std::uint32_t size) {
    Running job{engine::JobId(0), some_tokens(size % 20), size % 7};
    const bool full = one.tokens.size() + job.prefill.size() > kCapacity;
    const bool nothing = job.prefill.empty() && one.tokens.empty();
    const auto made =
        engine_->submit({.sequence = one.id, .prefill = job.prefill, .generate = greedy(job.count), .cancel = {}});
    RC_ASSERT(made.ok() == !(full || nothing));
    if (!made.ok()) return RC_ASSERT(made.error().code == (full ? ErrorCode::kResource : ErrorCode::kBadInput));
    job.id = made.value();
    one.job = std::move(job);
  }

  void advance(std::uint32_t size) {
    std::vector<engine::JobEvent> events;
    engine_->advance({.prefill_tokens = size % 30 + 1, .prefill_tokens_beside = size % 5 + 1}, events);
    for (const auto& event : events) {
      const auto* outcome = std::get_if<Result<engine::JobResult>>(&event.what);
      const auto one = std::find_if(held_.begin(), held_.end(),
                                    [&](const Naive& held) { return held.job && held.job->id == event.job; });
      if (outcome != nullptr && one != held_.end()) take_in(*one, *outcome);
    }
  }

  // All of it came, and what a sequence alone gives; the first part of that where it was cancelled.
  void take_in(Naive& one, const Result<engine::JobResult>& outcome) {
    RC_ASSERT(outcome.ok());
    const auto job = *std::exchange(one.job, std::nullopt);
    const auto prefilled = outcome.value().prefill.tokens;
    RC_ASSERT(prefilled <= job.prefill.size());
    RC_ASSERT(job.cancelled || prefilled == job.prefill.size());
    one.tokens.insert(one.tokens.end(), job.prefill.begin(), job.prefill.begin() + prefilled);
    const auto& got = outcome.value().generated.tokens;
    RC_ASSERT(got.empty() || prefilled == job.prefill.size());
    const auto room = std::min<std::size_t>(job.count, kCapacity - one.tokens.size());
    RC_ASSERT(got.size() == room || (job.cancelled && got.size() < room));
    if (same_bits() && !got.empty()) {
      RC_ASSERT(got == generated_alone(one.tokens, static_cast<std::uint32_t>(got.size())));
    }
    one.tokens.insert(one.tokens.end(), got.begin(), got.end());
  }

  void expect_busy(const Naive& one) {
    const auto more = some_tokens(3);
    RC_ASSERT(engine_->prefill(one.id, more).error().code == ErrorCode::kBadInput);
    RC_ASSERT(engine_->fork(one.id, 0, {.capacity_tokens = kCapacity}).error().code == ErrorCode::kBadInput);
    RC_ASSERT(engine_->truncate(one.id, 0).error().code == ErrorCode::kBadInput);
  }

  // All that hold something and are not busy, together.
  void generate_all(std::uint32_t size) {
    const auto count = size % 6 + 1;
    std::vector<GenerateRequest> requests;
    for (const auto& one : held_) requests.push_back({one.id, greedy(count)});
    const auto results = engine_->generate(requests);
    RC_ASSERT(results.size() == held_.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      auto& tokens = held_[i].tokens;
      RC_ASSERT(results[i].ok() == (!tokens.empty() && !held_[i].job));
      if (!results[i].ok()) continue;
      const auto& got = results[i].value().tokens;
      RC_ASSERT(got.size() == std::min<std::size_t>(count, kCapacity - tokens.size()));
      if (same_bits() && !got.empty()) RC_ASSERT(got == generated_alone(tokens, count));
      tokens.insert(tokens.end(), got.begin(), got.end());
    }
    advance(1);
  }

  void close_one(std::size_t which) {
    const auto id = held_[which].id;
    RC_ASSERT(engine_->close(id).ok());
    RC_ASSERT(engine_->close(id).error().code == ErrorCode::kClosed);
    RC_ASSERT(engine_->inspect(id).error().code == ErrorCode::kClosed);
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(which));
  }

  void take(const Step& step) {
    if (held_.empty() || (step.action == Action::kOpen && held_.size() < kMostOpen)) return open_one();
    const auto which = step.which % held_.size();
    const bool room = held_.size() < kMostOpen;
    const bool refuses = step.action != Action::kGenerate && step.action != Action::kAdvance &&
                         step.action != Action::kCancel && step.action != Action::kClose;
    if (held_[which].job && refuses) return expect_busy(held_[which]);
    switch (step.action) {
      case Action::kTruncate: return truncate_one(held_[which], step.size);
      case Action::kSubmit: return submit_one(held_[which], step.size);
      case Action::kAdvance: return advance(step.size);
      case Action::kCancel:
        if (!held_[which].job) return;
        held_[which].job->cancelled = true;
        return engine_->cancel(held_[which].job->id);
      case Action::kPrefill: return append(held_[which], step.size, false);
      case Action::kScore: return append(held_[which], step.size, true);
      case Action::kGenerate: return generate_all(step.size);
      case Action::kFork:
        if (room) fork_one(Naive(held_[which]), step.size);
        return;
      case Action::kCopy:
        if (room) copy_one(Naive(held_[which]));
        return;
      case Action::kOpen:
      case Action::kClose: return close_one(which);
    }
  }

  void compare_all() {
    for (const auto& one : held_) {
      const auto state = engine_->inspect(one.id);
      RC_ASSERT(state.ok());
      if (one.job) continue;
      RC_ASSERT(state.value().tokens == one.tokens.size());
      RC_ASSERT(state.value().token_sha256 == sha256_of_tokens(one.tokens));
    }
  }

  void run(const std::vector<Step>& steps) {
    for (const auto& step : steps) {
      take(step);
      compare_all();
    }
    for (int step = 0; engine_->running_jobs() > 0 && step < 1000; ++step) advance(29);
    RC_ASSERT(engine_->running_jobs() == 0U);
    compare_all();
  }

  void close_all() {
    for (const auto& one : held_) static_cast<void>(engine_->close(one.id));
    held_.clear();
  }

  std::unique_ptr<Engine> alone_;
  std::vector<Naive> held_;
  std::uint32_t next_ = 0;
};

TEST_P(ConformanceProperty, BehavesAsListsOfTokens) {
  const bool holds = rc::check("an engine is lists of tokens", [&](const std::vector<Step>& steps) {
    // Whatever an earlier list left open.
    close_all();
    next_ = 0;
    run(steps);
  });
  close_all();
  EXPECT_TRUE(holds);
}

// Not in grade process, where a list starts a dozen processes: minutes.
INSTANTIATE_TEST_SUITE_P(Fake, ConformanceProperty, ::testing::Values(Kind{"Fake", Base::kFake}), kind_name);
INSTANTIATE_TEST_SUITE_P(TinyLlama, ConformanceProperty,
                         ::testing::Values(Kind{"Buffer", Base::kTiny}, Kind{"Mask", Base::kTiny, Grade::kMask},
                                           Kind{"Window", Base::kWindowed}),
                         kind_name);
}  // namespace
}  // namespace bulkhead::testing
