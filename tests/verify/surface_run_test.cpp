// SPDX-License-Identifier: MIT
#include "verify/surface_run.h"

#include "engines/fake/mutant.h"
#include "verify/campaign.h"
#include "verify/random_trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace bulkhead::verify {
namespace {

ModelOptions fake(const std::string& path = {}) {
  return {.path = path, .engine = "fake", .context_tokens = 192};
}

// What a failure shows.
std::string first_words(const Campaign& campaign) {
  std::string words;
  for (const auto& check : campaign.checks) words += check.name + ": " + check.first + "\n";
  if (campaign.failing) words += json_text(to_json(*campaign.failing));
  return words;
}

TEST(SurfaceRun, RandomTracesAreClean) {
  auto surface = Surface::make(fake());
  ASSERT_TRUE(surface.ok()) << surface.error().to_string();
  CampaignOptions options;
  options.traces = 300;
  options.prefix = kSurfacePrefix;
  options.shape = {.surface = true};
  const auto campaign = run_campaign(surface.value().runner(), options);
  ASSERT_TRUE(campaign.ok()) << campaign.error().to_string();
  EXPECT_EQ(verdict_of(campaign.value().checks), Verdict::kClean) << first_words(campaign.value());
  EXPECT_EQ(campaign.value().checks.front().name, "surface_solo_replay");
}

TEST(SurfaceRun, RandomTracesHoldEveryActionAndEveryRefusal) {
  std::set<ActionKind> kinds;
  std::set<Refusal> refusals;
  bool stops = false;
  bool cancels = false;
  bool joins = false;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    for (const auto& action : random_trace(seed, {.surface = true}).actions) {
      kinds.insert(action.kind);
      if (action.kind == ActionKind::kFail) refusals.insert(action.refusal);
      for (const auto& member : action.members) {
        stops = stops || !member.stop.empty();
        joins = joins || (member.join_after.value_or(0) > 0 && !member.text.empty());
        cancels = cancels || member.cancel_after_us.has_value();
      }
    }
  }
  EXPECT_EQ(kinds, (std::set{ActionKind::kOpen, ActionKind::kPrefill, ActionKind::kReceive, ActionKind::kFork,
                             ActionKind::kGenerate, ActionKind::kFail, ActionKind::kChat, ActionKind::kTruncate,
                             ActionKind::kPark, ActionKind::kClose}));
  EXPECT_EQ(refusals,
            (std::set{Refusal::kOverflow, Refusal::kMessage, Refusal::kForeign, Refusal::kTwice, Refusal::kBudget}));
  EXPECT_TRUE(stops && cancels && joins);
}

TEST(SurfaceRun, ATraceIsReadBackAsItWasWritten) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const auto trace = random_trace(seed, {.surface = true});
    auto document = JsonDocument::parse(json_text(to_json(trace)), "trace");
    ASSERT_TRUE(document.ok());
    const auto again = trace_from_json(JsonView(document.value()));
    ASSERT_TRUE(again.ok()) << again.error().to_string();
    EXPECT_TRUE(again.value() == trace) << json_text(to_json(trace));
  }
}

// A refused message must be refused for its length: what it is worth depends on that.
TEST(SurfaceRun, TheLongMessageDoesNotFitBesideAWord) {
  auto surface = Surface::make(fake());
  ASSERT_TRUE(surface.ok());
  Trace trace{.actions = {{.kind = ActionKind::kOpen, .partition = 0, .capacity = 192},
                          {.kind = ActionKind::kPrefill, .partition = 0, .text = "seven ships under water"},
                          {.kind = ActionKind::kFail, .partition = 0, .refusal = Refusal::kMessage}},
              .surface = true};
  const auto record = surface.value().runner()(trace, {.watch = true});
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record.value().shown.back().facts.front().value, "resource");
  EXPECT_TRUE(record.value().books.empty());
}

}  // namespace
}  // namespace bulkhead::verify
