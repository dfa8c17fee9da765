// SPDX-License-Identifier: MIT
// A recorded run, replayed partition by partition: clean on a right engine, refuted on one with a leak.
#include "verify/transcript_replay.h"

#include "engine/recording_engine.h"
#include "engines/fake/fake_engine.h"
#include "engines/fake/mutant.h"
#include "verify/random_trace.h"
#include "verify/trace_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>

namespace bulkhead::verify {
namespace {

using engine::CallKind;
using engine::RecordingEngine;
using engine::Transcript;
using engines::fake::FakeOptions;
using engines::fake::make_fake_engine;
using engines::fake::Mutant;

const MakeEngine kFakes = []() -> Result<std::unique_ptr<engine::Engine>> { return make_fake_engine({}); };

// What a run of a random trace leaves behind.
Transcript recorded(std::uint64_t seed, const FakeOptions& options = {}) {
  RecordingEngine engine(make_fake_engine(options));
  EXPECT_TRUE(run_trace(random_trace(seed, {}), engine).ok());
  return engine.transcript();
}

TEST(TranscriptReplay, FindsNothingInRunsOfARightEngine) {
  std::uint64_t compared = 0;
  std::uint64_t solos = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const auto check = replay_transcript(recorded(seed), kFakes);
    ASSERT_TRUE(check.ok()) << seed << ": " << check.error().to_string();
    EXPECT_EQ(check.value().differences, 0U) << seed << ": " << check.value().first;
    EXPECT_EQ(check.value().control_caught, check.value().compared > 0) << seed;
    compared += check.value().compared;
    solos += check.value().detail["solo_runs"].get<std::uint64_t>();
  }
  EXPECT_GT(compared, 5000U);
  EXPECT_GT(solos, 300U);
}

// Without the bias other tokens would be drawn.
TEST(TranscriptReplay, ReplaysWithTheBiasOfTheRun) {
  RecordingEngine engine(make_fake_engine({}));
  const auto id = engine.open({.capacity_tokens = 64}).value();
  ASSERT_TRUE(engine.prefill(id, std::vector<engine::Token>{'a', 'b'}, {}, {}).ok());
  GenerateOptions options;
  options.max_tokens = 20;
  options.ignore_end = true;
  options.logprobs = 2;
  for (engine::Token token = 'a'; token <= 'z'; ++token) {
    options.logit_bias.push_back({token, -std::numeric_limits<float>::infinity()});
  }
  const engine::GenerateRequest request{id, options};
  ASSERT_TRUE(engine.generate({&request, 1})[0].ok());
  const auto lines = to_json_lines(engine.transcript(), {{"transcript_version", 1}});
  auto read = engine::transcript_from_json_lines(lines, "t.jsonl");
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  const auto check = replay_transcript(read.value().transcript, kFakes);
  ASSERT_TRUE(check.ok());
  EXPECT_EQ(check.value().differences, 0U) << check.value().first;
  auto& calls = read.value().transcript.calls;
  calls.back().options.logit_bias.clear();
  EXPECT_GT(replay_transcript(read.value().transcript, kFakes).value().differences, 0U);
}

TEST(TranscriptReplay, RefutesEachMutantThatMovesTokensOrLogits) {
  // The others show only after failures or in what the engine says of itself: solo replay of traces sees those.
  for (const auto mutant : {Mutant::kStaleRoom, Mutant::kShallowTrim, Mutant::kRowsMixedUp, Mutant::kMaskedCells,
                            Mutant::kWrongSequence, Mutant::kSharedGenerator}) {
    bool refuted = false;
    for (std::uint64_t seed = 1; seed <= 100 && !refuted; ++seed) {
      const auto check = replay_transcript(recorded(seed, {.faults = {}, .mutant = mutant}), kFakes);
      // A leak may also have made a call go well that must be refused.
      refuted = !check.ok() || check.value().differences > 0;
    }
    EXPECT_TRUE(refuted) << static_cast<int>(mutant);
  }
}

TEST(TranscriptReplay, LeavesOutWhatFailedAndWhatOthersDid) {
  RecordingEngine engine(make_fake_engine({}));
  const auto base = engine.open({.capacity_tokens = 8, .name = "base"}).value();
  const auto other = engine.open({.capacity_tokens = 8, .name = "other"}).value();
  const std::vector<engine::Token> text = {3, 4, 5};
  ASSERT_TRUE(engine.prefill(base, text, {}, {}).ok());
  ASSERT_TRUE(engine.prefill(other, text, {}, {}).ok());
  ASSERT_FALSE(engine.prefill(base, std::vector<engine::Token>(9, 1), {}, {}).ok());
  const auto fork = engine.fork(base, 2, {.capacity_tokens = 8, .name = "fork"}).value().sequence;
  ASSERT_TRUE(engine.prefill(base, text, {}, {}).ok()) << "after the fork: not the fork's history";
  const std::vector<engine::GenerateRequest> requests = {{fork, {.max_tokens = 2}}, {other, {.max_tokens = 2}}};
  for (const auto& result : engine.generate(requests)) ASSERT_TRUE(result.ok());
  const auto calls = calls_of(engine.transcript(), 2);
  ASSERT_EQ(calls.size(), 4U);
  EXPECT_EQ(calls[0].kind, CallKind::kOpen);
  EXPECT_EQ(calls[1].kind, CallKind::kPrefill);
  EXPECT_EQ(calls[2].kind, CallKind::kFork);
  EXPECT_EQ(calls[3].kind, CallKind::kGenerate);
  EXPECT_EQ(calls[3].tokens.size(), 2U);
}

TEST(TranscriptReplay, NamesThePartitionAndTheFirstDifference) {
  auto transcript = recorded(3);
  const auto generate = std::find_if(transcript.calls.begin(), transcript.calls.end(), [](const auto& call) {
    return call.kind == CallKind::kGenerate && !call.logit_hashes.empty();
  });
  ASSERT_NE(generate, transcript.calls.end());
  generate->logit_hashes[0] ^= 1U;
  const auto check = replay_transcript(transcript, kFakes);
  ASSERT_TRUE(check.ok());
  EXPECT_GE(check.value().differences, 1U);
  EXPECT_NE(check.value().first.find("logits of step 0"), std::string::npos) << check.value().first;
}

}  // namespace
}  // namespace bulkhead::verify
