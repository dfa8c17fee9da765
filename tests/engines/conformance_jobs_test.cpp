// SPDX-License-Identifier: MIT
// Jobs join and leave between steps, and nobody else notices. What every engine must do.
#include "engines/conformance.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>

namespace bulkhead::testing {
namespace {

using engine::Drawn;
using engine::Job;
using engine::JobEvent;
using engine::JobId;
using engine::JobResult;
using engine::Prefilled;
using engine::StepLimits;
using Finish = GenerateResult::Finish;

class JobConformance : public Conformance {
 protected:
  JobId submit(Job job) {
    const auto id = engine_->submit(std::move(job));
    EXPECT_TRUE(id.ok()) << (id.ok() ? "" : id.error().to_string());
    return id.ok() ? id.value() : JobId(~0U);
  }

  // One step. Keeps what came.
  void advance(const StepLimits& limits = {}) {
    std::vector<JobEvent> events;
    engine_->advance(limits, events);
    for (auto& event : events) {
      if (auto* outcome = std::get_if<Result<JobResult>>(&event.what)) outcomes_.emplace(event.job, *outcome);
      came_[event.job].push_back(std::move(event));
    }
  }

  JobResult finish(JobId id, const StepLimits& limits = {}) {
    for (int step = 0; !outcomes_.contains(id) && step < 1000; ++step) advance(limits);
    const auto found = outcomes_.find(id);
    if (found == outcomes_.end()) {
      ADD_FAILURE() << "the job did not end";
      return {};
    }
    EXPECT_TRUE(found->second.ok()) << (found->second.ok() ? "" : found->second.error().to_string());
    return found->second.ok() ? found->second.value() : JobResult{};
  }

  std::uint32_t drawn(JobId id) {
    const auto& events = came_[id];
    return static_cast<std::uint32_t>(std::count_if(
        events.begin(), events.end(), [](const auto& event) { return std::holds_alternative<Drawn>(event.what); }));
  }

  // Whether advance() makes one step, so that others can come and go meanwhile.
  [[nodiscard]] bool steps() const { return !GetParam().desk; }

  void expect_same(const GenerateResult& got, const GenerateResult& expected) {
    EXPECT_EQ(got.finish, expected.finish);
    if (!same_bits()) return;
    EXPECT_EQ(got.tokens, expected.tokens);
    EXPECT_EQ(got.text, expected.text);
    if (engine_->facts().batch_invariant) {
      EXPECT_EQ(got.logit_hashes, expected.logit_hashes);
    }
  }

  std::map<JobId, Result<JobResult>> outcomes_;
  std::map<JobId, std::vector<JobEvent>> came_;
};

TEST_P(JobConformance, AJobGivesWhatItsCallsGive) {
  const auto expected = generate(open_with(kStory), sampled(8, 3));
  const auto id = open();
  const auto text = tokens(kStory);
  const auto job = submit({.sequence = id, .prefill = text, .generate = sampled(8, 3), .cancel = {}});
  EXPECT_EQ(engine_->running_jobs(), 1U);
  const auto result = finish(job);
  EXPECT_EQ(engine_->running_jobs(), 0U);
  EXPECT_EQ(result.prefill.tokens, text.size());
  expect_same(result.generated, expected);
  EXPECT_EQ(inspect(id).tokens, text.size() + result.generated.tokens.size());
}

TEST_P(JobConformance, EventsTellOfEveryTokenInOrder) {
  const auto id = open();
  const auto text = tokens(kStory);
  const auto job = submit({.sequence = id, .prefill = text, .generate = greedy(6), .cancel = {}});
  const auto result = finish(job, {.prefill_tokens = 7, .prefill_tokens_beside = 7});
  const auto& events = came_[job];
  std::uint32_t prefilled = 0;
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (const auto* part = std::get_if<Prefilled>(&events[i].what)) {
      EXPECT_GT(part->tokens, prefilled);
      EXPECT_TRUE(tokens.empty());
      prefilled = part->tokens;
    } else if (const auto* token = std::get_if<Drawn>(&events[i].what)) {
      EXPECT_EQ(token->index, tokens.size());
      EXPECT_EQ(token->piece, engine_->tokenizer().piece(token->token));
      tokens.push_back(token->token);
    } else {
      EXPECT_EQ(i + 1, events.size()) << "the outcome comes last";
    }
  }
  EXPECT_EQ(prefilled, text.size());
  EXPECT_EQ(tokens, result.generated.tokens);
}

TEST_P(JobConformance, WhoJoinsAndLeavesChangesNothing) {
  const auto story = generate(open_with(kStory), greedy(20));
  const auto other = generate(open_with(kOther), greedy(9));
  const auto first = submit({.sequence = open(), .prefill = tokens(kStory), .generate = greedy(20), .cancel = {}});
  for (int step = 0; steps() && step < 100 && drawn(first) < 4; ++step) advance();
  const auto late = submit({.sequence = open(), .prefill = tokens(kOther), .generate = greedy(9), .cancel = {}});
  const auto cancelled = submit({.sequence = open(), .prefill = tokens(kOther), .generate = greedy(50), .cancel = {}});
  const StepLimits small{.prefill_tokens = 16, .prefill_tokens_beside = 5};
  for (int step = 0; steps() && step < 7; ++step) advance(small);
  engine_->cancel(cancelled);
  const auto left = finish(cancelled, small).generated;
  if (!GetParam().desk) {
    EXPECT_EQ(left.finish, Finish::kCancelled);
    EXPECT_LT(left.tokens.size(), 50U);
  }
  expect_same(finish(late, small).generated, other);
  expect_same(finish(first, small).generated, story);
  EXPECT_EQ(engine_->running_jobs(), 0U);
}

TEST_P(JobConformance, APrefillIsCutIntoPiecesBesideSomebodyWhoDraws) {
  if (!steps()) return;                             // at its own pace
  if (GetParam().grade == Grade::kProcess) return;  // nobody who draws in another process waits for it
  const auto drawing = submit({.sequence = open(), .prefill = tokens(kStory), .generate = greedy(60), .cancel = {}});
  for (int step = 0; step < 100 && drawn(drawing) < 2; ++step) advance();
  const auto before = drawn(drawing);
  const auto text = tokens(kOther);
  const auto prefilling = submit({.sequence = open(), .prefill = text, .generate = {}, .cancel = {}});
  finish(prefilling, {.prefill_tokens = 1000, .prefill_tokens_beside = 4});
  if (engine_->facts().batch_invariant) {
    const auto pieces = (text.size() + 3) / 4;
    EXPECT_EQ(came_[prefilling].size(), pieces + 1);
    EXPECT_GE(drawn(drawing), std::min<std::size_t>(before + pieces - 1, 60));
  }
  engine_->cancel(drawing);
  finish(drawing);
}

TEST_P(JobConformance, ACancelledPrefillKeepsWhatItHas) {
  if (!engine_->facts().batch_invariant || !steps()) return;  // whole chunks, or at its own pace
  const auto expected = generate(open_with(kStory), greedy(6));
  const auto id = open();
  const auto text = tokens(kStory);
  const auto job = submit({.sequence = id, .prefill = text, .generate = greedy(6), .cancel = {}});
  advance({.prefill_tokens = 5, .prefill_tokens_beside = 5});
  advance({.prefill_tokens = 5, .prefill_tokens_beside = 5});
  engine_->cancel(job);
  const auto result = finish(job);
  EXPECT_EQ(result.generated.finish, Finish::kCancelled);
  EXPECT_TRUE(result.generated.tokens.empty());
  ASSERT_EQ(result.prefill.tokens, 10U);
  ASSERT_EQ(inspect(id).tokens, 10U);
  EXPECT_EQ(inspect(id).token_sha256, sha256_of_tokens(std::span(text).first(10)));
  prefill(id, {text.begin() + 10, text.end()});
  expect_same(generate(id, greedy(6)), expected);
}

TEST_P(JobConformance, ABusySequenceRefusesAllElse) {
  if (GetParam().desk) return;  // it may have ended by then
  const auto id = open_with(kStory);
  const auto held = inspect(id).tokens;
  const auto job = submit({.sequence = id, .prefill = {}, .generate = greedy(4), .cancel = {}});
  const auto more = tokens(kOther);
  const auto expect_busy = [](const auto& result) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::kBadInput);
  };
  expect_busy(engine_->submit({.sequence = id, .prefill = more, .generate = {}, .cancel = {}}));
  expect_busy(engine_->prefill(id, more));
  expect_busy(engine_->fork(id, 3, {.capacity_tokens = 256}));
  expect_busy(engine_->score(id, more));
  expect_busy(engine_->truncate(id, 2));
  if (engine_->can(engine::Capability::kSnapshot)) expect_busy(engine_->snapshot(id));
  const GenerateRequest request{id, greedy(2)};
  expect_busy(engine_->generate({&request, 1})[0]);
  EXPECT_EQ(inspect(id).tokens, held);
  EXPECT_EQ(finish(job).generated.tokens.size(), 4U);
  EXPECT_EQ(generate(id, greedy(2)).tokens.size(), 2U);
}

TEST_P(JobConformance, CloseEndsTheJobOfItsSequence) {
  const auto id = open_with(kStory);
  const auto other = open_with(kOther);
  const auto job = submit({.sequence = id, .prefill = {}, .generate = greedy(40), .cancel = {}});
  const auto beside = submit({.sequence = other, .prefill = {}, .generate = greedy(4), .cancel = {}});
  if (steps()) advance();
  ASSERT_TRUE(engine_->close(id).ok());
  const auto result = finish(job).generated;
  if (!GetParam().desk) {
    EXPECT_EQ(result.finish, Finish::kCancelled);
    EXPECT_LT(result.tokens.size(), 40U);
  }
  EXPECT_EQ(finish(beside).generated.tokens.size(), 4U);
}

TEST_P(JobConformance, JobsThatCannotRunAreRefused) {
  const auto id = open_with(kStory);
  const auto empty = open();
  const auto closed = open();
  ASSERT_TRUE(engine_->close(closed).ok());
  const auto vocabulary = static_cast<Token>(engine_->facts().vocabulary);
  auto bad = greedy(3);
  bad.sampling.top_p = -1;
  const auto code = [&](Job job) {
    const auto made = engine_->submit(std::move(job));
    return made.ok() ? ErrorCode::kInternal : made.error().code;
  };
  EXPECT_EQ(code({.sequence = id, .prefill = {}, .generate = {}, .cancel = {}}), ErrorCode::kBadInput);
  EXPECT_EQ(code({.sequence = id, .prefill = {vocabulary}, .generate = {}, .cancel = {}}), ErrorCode::kBadInput);
  EXPECT_EQ(code({.sequence = id, .prefill = {-1}, .generate = {}, .cancel = {}}), ErrorCode::kBadInput);
  EXPECT_EQ(code({.sequence = empty, .prefill = {}, .generate = greedy(3), .cancel = {}}), ErrorCode::kBadInput);
  EXPECT_EQ(code({.sequence = id, .prefill = {}, .generate = bad, .cancel = {}}), ErrorCode::kUsage);
  EXPECT_EQ(code({.sequence = closed, .prefill = {}, .generate = greedy(3), .cancel = {}}), ErrorCode::kClosed);
  EXPECT_EQ(engine_->running_jobs(), 0U);
  engine_->cancel(JobId(~0U));
  advance();
  EXPECT_EQ(generate(id, greedy(3)).tokens.size(), 3U);
}

TEST_P(JobConformance, AJobThatDoesNotFitLeavesItsSequence) {
  const auto id = open(40);
  prefill(id, std::vector<Token>(30, 65));
  const auto made =
      engine_->submit({.sequence = id, .prefill = std::vector<Token>(20, 66), .generate = {}, .cancel = {}});
  // An engine that must ask its back end learns it later.
  if (made.ok()) {
    advance();
    ASSERT_FALSE(outcomes_.at(made.value()).ok());
    EXPECT_EQ(outcomes_.at(made.value()).error().code, ErrorCode::kResource);
  } else {
    EXPECT_EQ(made.error().code, ErrorCode::kResource);
  }
  EXPECT_EQ(inspect(id).tokens, 30U);
  EXPECT_EQ(generate(id, greedy(3)).tokens.size(), 3U);
}

TEST_P(JobConformance, BothStopTokensEndAJob) {
  if (GetParam().desk) return;  // at its own pace
  for (const bool of_generation : {false, true}) {
    std::stop_source stop;
    auto options = greedy(30);
    const auto expected = generate(open_with(kStory), greedy(30));
    options.on_token = [&stop, count = 0](const TokenEvent&) mutable {
      if (++count == 3) stop.request_stop();
      return true;
    };
    if (of_generation) options.cancel = stop.get_token();
    Job job{.sequence = open_with(kStory), .prefill = {}, .generate = options, .cancel = {}};
    if (!of_generation) job.cancel = stop.get_token();
    const auto id = job.sequence;
    const auto held = inspect(id).tokens;
    const auto result = finish(submit(std::move(job))).generated;
    EXPECT_EQ(result.finish, Finish::kCancelled);
    ASSERT_GE(result.tokens.size(), 3U);
    ASSERT_LT(result.tokens.size(), 30U);
    EXPECT_EQ(inspect(id).tokens, held + result.tokens.size());
    if (same_bits()) {
      EXPECT_TRUE(std::equal(result.tokens.begin(), result.tokens.end(), expected.tokens.begin()));
    }
  }
}

TEST_P(JobConformance, OtherJobsGoOnWhileSomebodyWaitsForACall) {
  const auto expected = generate(open_with(kStory), greedy(12));
  const auto job = submit({.sequence = open_with(kStory), .prefill = {}, .generate = greedy(12), .cancel = {}});
  EXPECT_EQ(generate(open_with(kOther), greedy(30)).tokens.size(), 30U);
  EXPECT_EQ(engine_->running_jobs(), 1U);
  expect_same(finish(job).generated, expected);
  EXPECT_EQ(drawn(job), 12U);
}

TEST_P(JobConformance, TruncateGivesWhatAForkThereGives) {
  const auto text = tokens(kStory);
  const auto size = static_cast<std::uint32_t>(text.size());
  for (const std::uint32_t keep : {size + 5, size + 4, size, size - 1, size / 2, 1U}) {
    const auto id = open_with(kStory);
    ASSERT_EQ(generate(id, greedy(5)).tokens.size(), 5U);
    const auto source = open_with(kStory);
    ASSERT_EQ(generate(source, greedy(5)).tokens.size(), 5U);
    const auto forked = engine_->fork(source, keep, {.capacity_tokens = 256});
    ASSERT_TRUE(forked.ok()) << forked.error().to_string();
    const auto copy = forked.value().sequence;
    opened_.push_back(copy);
    const auto cut = engine_->truncate(id, keep);
    ASSERT_TRUE(cut.ok()) << cut.error().to_string();
    // A fork may lie in another context, where cells behind the window are left out; a cut stays where it is.
    const auto again = cut.value().tokens;
    EXPECT_TRUE(again == forked.value().prefilled_tokens || again == 0) << again << " computed again";
    EXPECT_EQ(forked.value().prefilled_tokens + forked.value().reused_tokens, keep);
    EXPECT_EQ(inspect(id).tokens, keep);
    EXPECT_EQ(inspect(id).token_sha256, inspect(copy).token_sha256);
    expect_same(generate(id, greedy(6)), generate(copy, greedy(6)));
  }
}

TEST_P(JobConformance, TruncateToNothingAndBeyondTheEnd) {
  const auto expected = generate(open_with(kOther), greedy(5));
  const auto id = open_with(kStory);
  const auto held = inspect(id).tokens;
  const auto beyond = engine_->truncate(id, held + 1);
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(inspect(id).tokens, held);
  ASSERT_TRUE(engine_->truncate(id, 0).ok());
  EXPECT_EQ(inspect(id).tokens, 0U);
  EXPECT_EQ(inspect(id).last_position, -1);
  prefill(id, tokens(kOther));
  expect_same(generate(id, greedy(5)), expected);
  ASSERT_TRUE(engine_->close(id).ok());
  EXPECT_EQ(engine_->truncate(id, 0).error().code, ErrorCode::kClosed);
}

BULKHEAD_FOR_ALL_ENGINES(JobConformance);

}  // namespace
}  // namespace bulkhead::testing
