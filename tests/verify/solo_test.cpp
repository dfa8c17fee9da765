// SPDX-License-Identifier: MIT
// The statement on the fake engine: random traces hold, each witness sees a planted leak, each mutant is killed.
#include "verify/solo.h"

#include "engines/fake/fake_engine.h"
#include "engines/fake/mutant.h"
#include "verify/campaign.h"
#include "verify/random_trace.h"
#include "verify/shrink.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>

namespace bulkhead::verify {
namespace {

using engines::fake::FakeOptions;
using engines::fake::Mutant;

MakeEngine fakes(const FakeOptions& options = {}) {
  return [options]() -> Result<std::unique_ptr<engine::Engine>> { return engines::fake::make_fake_engine(options); };
}

// 10,000 with BULKHEAD_TRACES=10000.
std::uint64_t traces_to_run() {
  const char* asked = std::getenv("BULKHEAD_TRACES");
  return asked == nullptr ? 2000 : std::strtoull(asked, nullptr, 10);
}

Action opened(std::uint32_t partition) {
  return {.kind = ActionKind::kOpen, .partition = partition, .capacity = 64};
}

Action prefilled(std::uint32_t partition, std::string text) {
  return {.kind = ActionKind::kPrefill, .partition = partition, .text = std::move(text)};
}

Action generated(std::vector<Member> members) {
  return {.kind = ActionKind::kGenerate, .members = std::move(members)};
}

TraceVerdict verdict_on(const Trace& trace, const FakeOptions& options = {},
                        const TraceRunOptions& run = {.watch = true}) {
  const auto verdict = check_trace(trace, on_engines(fakes(options)), run);
  EXPECT_TRUE(verdict.ok()) << (verdict.ok() ? "" : verdict.error().to_string());
  return verdict.ok() ? verdict.value() : TraceVerdict{};
}

TEST(Traces, NothingCrossesInThousandsOfThem) {
  const auto wanted = traces_to_run();
  CampaignOptions options;
  options.traces = wanted;
  const auto campaign = run_campaign(on_engines(fakes()), options);
  ASSERT_TRUE(campaign.ok()) << campaign.error().to_string();
  EXPECT_EQ(campaign.value().traces, wanted);
  ASSERT_EQ(campaign.value().checks.size(), 3U);
  for (const auto& check : campaign.value().checks) {
    EXPECT_EQ(check.verdict(), Verdict::kClean) << to_json(check).dump(1);
    EXPECT_GT(check.compared, wanted) << check.name;
  }
  EXPECT_FALSE(campaign.value().failing.has_value());
}

TEST(Traces, ASlidingWindowCrossesNothingEither) {
  CampaignOptions options;
  options.traces = 200;
  const auto campaign = run_campaign(on_engines(fakes({.window_tokens = 24, .faults = {}})), options);
  ASSERT_TRUE(campaign.ok()) << campaign.error().to_string();
  EXPECT_EQ(verdict_of(campaign.value().checks), Verdict::kClean);
}

TEST(Traces, HaveEveryActionAndRefusal) {
  std::map<ActionKind, int> kinds;
  std::map<Refusal, int> refusals;
  std::set<std::size_t> partitions;
  int cancelled = 0;
  int calls_cancelled = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto trace = random_trace(seed, {});
    EXPECT_LE(trace.actions.size(), 28U + 7U);
    partitions.insert(trace.partitions().size());
    for (const auto& action : trace.actions) {
      ++kinds[action.kind];
      if (action.kind == ActionKind::kFail) ++refusals[action.refusal];
      for (const auto& member : action.members) {
        cancelled += member.cancel_after ? 1 : 0;
        calls_cancelled += member.cancel_call ? 1 : 0;
      }
    }
  }
  EXPECT_EQ(kinds.size(), 12U);
  EXPECT_EQ(refusals.size(), 5U);
  EXPECT_EQ(partitions, (std::set<std::size_t>{2, 3, 4, 5, 6, 7}));
  EXPECT_GT(cancelled, 20);
  EXPECT_GT(calls_cancelled, 20);
}

TEST(Traces, SurviveJson) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto trace = random_trace(seed, {});
    const auto document = JsonDocument::parse(to_json(trace).dump(1), "trace.json");
    ASSERT_TRUE(document.ok()) << document.error().to_string();
    const auto read = trace_from_json(JsonView(document.value()));
    ASSERT_TRUE(read.ok()) << read.error().to_string();
    EXPECT_EQ(read.value(), trace) << seed;
  }
}

TEST(Traces, AWrongFieldIsNamed) {
  const auto error_of = [](std::string text) {
    const auto document = JsonDocument::parse(std::move(text), "trace.json");
    const auto read = trace_from_json(JsonView(document.value()));
    return read.ok() ? std::string() : read.error().to_string();
  };
  EXPECT_NE(error_of(R"({"trace_version":2,"actions":[]})").find("trace_version"), std::string::npos);
  EXPECT_NE(error_of(R"({"trace_version":1,"actions":[{"do":"leap","partition":0}]})").find("leap"), std::string::npos);
  EXPECT_NE(error_of(R"({"trace_version":1,"actions":[{"do":"open","partition":0}]})").find("capacity"),
            std::string::npos);
}

TEST(Projection, KeepsAncestorsUpToTheForkAndLiteralMessages) {
  Trace trace;
  trace.actions = {opened(0),
                   prefilled(0, "harbour"),
                   opened(1),
                   prefilled(1, "bread"),
                   generated({{.partition = 1, .max_tokens = 3}, {.partition = 0, .max_tokens = 2}}),
                   {.kind = ActionKind::kFork, .partition = 2, .from = 0, .capacity = 64, .permille = 1000},
                   prefilled(0, " later"),
                   {.kind = ActionKind::kReceive, .partition = 2, .from = 1},
                   generated({{.partition = 0, .max_tokens = 2}, {.partition = 2, .max_tokens = 4}})};
  const auto engine = engines::fake::make_fake_engine();
  const auto record = run_trace(trace, *engine);
  ASSERT_TRUE(record.ok());
  const auto projection = project(trace, record.value(), 2);
  EXPECT_EQ(projection.origin, (std::vector<std::size_t>{0, 1, 4, 5, 7, 8}));
  const auto& own = projection.trace.actions;
  ASSERT_EQ(own.size(), 6U);
  ASSERT_EQ(own[2].members.size(), 1U);
  EXPECT_EQ(own[2].members[0].partition, 0U);
  EXPECT_EQ(own[4].kind, ActionKind::kPrefill);
  EXPECT_EQ(own[4].text.size(), 3U) << "three tokens of the fake engine are three bytes";
  ASSERT_EQ(own[5].members.size(), 1U);
  EXPECT_EQ(own[5].members[0].partition, 2U);
  EXPECT_TRUE(verdict_on(trace).clean());
}

TEST(Witnesses, EachSeesAPlantedLeak) {
  Trace trace;
  trace.actions = {opened(0), prefilled(0, "harbour"), opened(1), prefilled(1, "secret"),
                   generated({{.partition = 0, .max_tokens = 2}})};
  EXPECT_TRUE(verdict_on(trace).clean());
  const auto verdict = verdict_on(trace, {}, {.watch = true, .leak = true});
  EXPECT_TRUE(verdict.leaked);
  ASSERT_TRUE(verdict.difference.has_value());
  EXPECT_EQ(verdict.difference->partition, 0U);
  EXPECT_EQ(verdict.difference->action, 4U);
  EXPECT_EQ(verdict.difference->field, "logits");
  EXPECT_EQ(verdict.difference->step, 0U);
  EXPECT_NE(verdict.difference->in_trace, verdict.difference->alone);
  EXPECT_NE(verdict.difference->to_string(trace).find("partition 0, action 4 (generate), logits of step 0"),
            std::string::npos);
  EXPECT_FALSE(verdict.books.empty());
  EXPECT_FALSE(verdict.respect.empty());
  EXPECT_EQ(verdict.respect.front().action, 3U);
}

TEST(Witnesses, BooksSeeALossThatIsTheSameAlone) {
  Trace trace;
  trace.actions = {opened(0), prefilled(0, "harbour")};
  const auto verdict =
      verdict_on(trace, {.faults = {{.kind = engines::fake::Fault::Kind::kDropToken, .sequence = 0, .at = 3}}});
  EXPECT_FALSE(verdict.difference.has_value());
  ASSERT_EQ(verdict.books.size(), 1U);
  EXPECT_EQ(verdict.books[0].action, 1U);
}

TEST(Checks, NothingComparedIsNoSuccess) {
  EXPECT_EQ(CheckResult{.name = "x"}.verdict(), Verdict::kVacuous);
  EXPECT_EQ((CheckResult{.name = "x", .compared = 5}.verdict()), Verdict::kVacuous);
  EXPECT_EQ((CheckResult{.name = "x", .control_caught = true}.verdict()), Verdict::kVacuous);
  EXPECT_EQ((CheckResult{.name = "x", .compared = 5, .control_caught = true}.verdict()), Verdict::kClean);
  EXPECT_EQ((CheckResult{.name = "x", .compared = 5, .differences = 1, .control_caught = true}.verdict()),
            Verdict::kInterference);
  EXPECT_EQ(verdict_of({}), Verdict::kVacuous);
}

TEST(Mutants, EachIsKilledByRandomTraces) {
  std::set<std::string_view> ids;
  for (const auto& info : engines::fake::mutants()) {
    ids.insert(info.id);
    bool solo = false;
    std::uint64_t seed = 1;
    for (; seed <= 300 && !solo; ++seed) {
      const auto verdict =
          check_trace(random_trace(seed, {}), on_engines(fakes({.faults = {}, .mutant = info.mutant})), {});
      ASSERT_TRUE(verdict.ok()) << verdict.error().to_string();
      solo = verdict.value().difference.has_value();
    }
    EXPECT_TRUE(solo) << info.id << " " << info.name << " lives after 300 traces";
    RecordProperty(std::string(info.name), static_cast<int>(seed - 1));
    std::cout << "  " << info.id << " " << info.name << ": killed by trace " << seed - 1 << '\n';
  }
  EXPECT_EQ(ids.size(), engines::fake::mutants().size());
}

TEST(Mutants, AreFoundByIdAndName) {
  EXPECT_EQ(engines::fake::find_mutant("D6"), Mutant::kSharedCache);
  EXPECT_EQ(engines::fake::find_mutant("shared_cache"), Mutant::kSharedCache);
  EXPECT_FALSE(engines::fake::find_mutant("D99").has_value());
}

TEST(Shrink, LeavesTheFewActionsThatMatter) {
  const FakeOptions broken{.faults = {}, .mutant = Mutant::kSharedCache};
  const auto fails = [&](const Trace& trace) { return !verdict_on(trace, broken).clean(); };
  std::uint64_t seed = 1;
  while (!fails(random_trace(seed, {}))) ASSERT_LT(++seed, 300U);
  const auto whole = random_trace(seed, {});
  const auto shrunk = shrink(whole, fails, 2000);
  EXPECT_TRUE(shrunk.minimal);
  EXPECT_LT(shrunk.trace.actions.size(), whole.actions.size());
  EXPECT_LE(shrunk.trace.actions.size(), 4U) << to_json(shrunk.trace).dump(1);
  EXPECT_TRUE(fails(shrunk.trace));
  for (std::size_t i = 0; i < shrunk.trace.actions.size(); ++i) {
    auto less = shrunk.trace;
    less.actions.erase(less.actions.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(fails(less)) << i;
  }
}

TEST(Shrink, StopsWhenItsTriesAreSpent) {
  const auto whole = random_trace(3, {});
  const auto shrunk = shrink(
      whole, [](const Trace&) { return true; }, 2);
  EXPECT_EQ(shrunk.tries, 2U);
  EXPECT_FALSE(shrunk.minimal);
}

TEST(Campaign, PrintsASmallTraceThatCanBeReplayed) {
  CampaignOptions options;
  options.traces = 60;
  const auto make = fakes({.faults = {}, .mutant = Mutant::kRowsMixedUp});
  const auto campaign = run_campaign(on_engines(make), options);
  ASSERT_TRUE(campaign.ok());
  EXPECT_EQ(verdict_of(campaign.value().checks), Verdict::kInterference);
  ASSERT_TRUE(campaign.value().failing.has_value());
  EXPECT_TRUE(campaign.value().minimal);
  const auto again = replay_trace(*campaign.value().failing, on_engines(make));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(verdict_of(again.value().checks), Verdict::kInterference);
  const auto healthy = replay_trace(*campaign.value().failing, on_engines(fakes()));
  ASSERT_TRUE(healthy.ok());
  EXPECT_EQ(healthy.value().checks[0].differences, 0U);
}

}  // namespace
}  // namespace bulkhead::verify
