// SPDX-License-Identifier: MIT
#include "verify/campaign.h"

#include "verify/shrink.h"

#include <fmt/format.h>

#include <utility>

namespace bulkhead::verify {
namespace {

// The planted leak needs a second partition at the right moment, which not every trace has.
constexpr std::uint64_t kControlTries = 16;

struct Tally {
  CheckResult solo{.name = "solo_replay",
                   .about = "what each partition shows among others equals what it shows alone, bit for bit",
                   .control = "one partition's text also prefilled into another"};
  CheckResult books{.name = "books",
                    .about = "the engine says it holds what was put into it, and nothing else",
                    .control = "one partition's text also prefilled into another"};
  CheckResult respect{.name = "local_respect",
                      .about = "an action leaves the stored state of all other partitions as it was",
                      .control = "one partition's text also prefilled into another"};
  std::uint64_t solo_runs = 0;
  std::uint64_t unreadable = 0;

  void add(const Trace& trace, const TraceVerdict& verdict) {
    solo.compared += verdict.facts_compared;
    books.compared += verdict.books_checked;
    respect.compared += verdict.respect_checked;
    solo_runs += verdict.solo_runs;
    unreadable += verdict.respect_unreadable;
    if (verdict.difference) note(solo, verdict.difference->to_string(trace));
    if (!verdict.books.empty()) note(books, words(verdict.books.front()));
    if (!verdict.respect.empty()) note(respect, words(verdict.respect.front()));
  }

  void control(const TraceVerdict& verdict) {
    solo.control_caught = solo.control_caught || verdict.difference.has_value();
    books.control_caught = books.control_caught || !verdict.books.empty();
    respect.control_caught = respect.control_caught || !verdict.respect.empty();
  }

  [[nodiscard]] bool all_caught() const {
    return solo.control_caught && books.control_caught && respect.control_caught;
  }

  [[nodiscard]] std::vector<CheckResult> checks(std::string_view prefix) && {
    for (auto* check : {&solo, &books, &respect}) check->name.insert(0, prefix);
    solo.detail["solo_runs"] = solo_runs;
    respect.detail["states_not_readable"] = unreadable;
    return {std::move(solo), std::move(books), std::move(respect)};
  }

 private:
  static std::string words(const Objection& objection) {
    return fmt::format("partition {}, action {}: {}", objection.partition, objection.action, objection.reason);
  }

  static void note(CheckResult& check, std::string what) {
    ++check.differences;
    if (check.first.empty()) check.first = std::move(what);
  }
};

Result<void> run_control(const Trace& trace, const RunTrace& run, const RunTrace& alone, Tally& tally) {
  BH_TRY(const auto verdict, check_trace(trace, run, {.watch = true, .leak = true}, alone));
  if (verdict.leaked) tally.control(verdict);
  return {};
}

void make_small(Campaign& campaign, const Trace& trace, const RunTrace& run, const CampaignOptions& options) {
  const auto still_fails = [&](const Trace& candidate) {
    const auto verdict = check_trace(candidate, run, {.watch = true}, options.alone);
    return verdict.ok() && !verdict.value().clean();
  };
  auto shrunk = shrink(trace, still_fails, options.shrink_tries);
  campaign.failing = std::move(shrunk.trace);
  campaign.minimal = shrunk.minimal;
}

}  // namespace

Result<Campaign> run_campaign(const RunTrace& run, const CampaignOptions& options) {
  Campaign campaign;
  Tally tally;
  for (std::uint64_t i = 0; i < options.traces; ++i) {
    if (options.cancel.stop_requested()) return Error{ErrorCode::kInterrupted, "verify was stopped", {}, {}};
    const bool is_long = options.long_one_in > 0 && i % options.long_one_in == options.long_one_in - 1;
    const auto trace = random_trace(options.seed + i, is_long ? options.long_shape : options.shape);
    BH_TRY(const auto verdict, check_trace(trace, run, {.watch = true}, options.alone));
    tally.add(trace, verdict);
    ++campaign.traces;
    if (!verdict.clean() && !campaign.failing) make_small(campaign, trace, run, options);
    if (options.progress) options.progress(campaign.traces);
  }
  for (std::uint64_t i = 0; i < kControlTries && !tally.all_caught(); ++i) {
    BH_CHECK(run_control(random_trace(options.seed + i, options.shape), run, options.alone, tally));
  }
  campaign.checks = std::move(tally).checks(options.prefix);
  return campaign;
}

Result<Campaign> replay_trace(const Trace& trace, const RunTrace& run, const RunTrace& alone) {
  Campaign campaign;
  Tally tally;
  BH_TRY(const auto verdict, check_trace(trace, run, {.watch = true}, alone));
  tally.add(trace, verdict);
  campaign.traces = 1;
  if (!verdict.clean()) campaign.failing = trace;
  BH_CHECK(run_control(trace, run, alone, tally));
  campaign.checks = std::move(tally).checks(trace.surface ? kSurfacePrefix : "");
  return campaign;
}

}  // namespace bulkhead::verify
