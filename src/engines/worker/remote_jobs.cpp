// SPDX-License-Identifier: MIT
#include "engines/worker/remote_jobs.h"

#include "engine/job_engine.h"
#include "engine/json_fields.h"
#include "engines/worker/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace bulkhead::engines::worker {

using engine::JobEvent;
using engine::JobId;
using engine::JobResult;
using Finish = engine::GenerateResult::Finish;
using std::chrono::milliseconds;

namespace {

// What a token of a generation adds to an answer, at most: its number, its hash, its time, and its text.
constexpr std::uint64_t kBytesPerToken = 512;
// What it adds for itself and for each likely token beside it, where those are asked for.
constexpr std::uint64_t kBytesPerLogprob = 64;
// Steps in a row that a worker may answer without a word of any job: an engine may have a pending token to compute
// first.
constexpr std::uint32_t kMostEmptySteps = 16;

Expected expected_of(const engine::Job& job, std::uint32_t context_tokens) {
  Expected expected{.events = job.prefill.size()};
  if (!job.generate) return expected;
  const std::uint64_t most = std::min(job.generate->max_tokens, context_tokens);
  expected.events += most;
  expected.json_bytes += most * kBytesPerToken;
  if (const auto& asked = job.generate->logprobs) {
    expected.json_bytes += most * kBytesPerLogprob * (std::uint64_t{*asked} + 1);
  }
  return expected;
}

}  // namespace

JobId RemoteJobs::add(engine::Job job, std::shared_ptr<WorkerLink> worker, std::uint32_t sequence) {
  auto& run = jobs_.emplace_back(std::move(job), std::move(worker), inbox_);
  Json head = {{"do", "job"}, {"sequence", sequence}, {"tokens", run.job.prefill}, {"options", nullptr}};
  std::string stops;
  if (run.job.generate) {
    // With a callback, a step draws one token: so the one told of is the last one where that wants no more.
    auto options = *run.job.generate;
    options.speculate = options.speculate && !options.on_token;
    run.drafts = options.speculate;
    for (const auto& stop : options.stop) stops += stop;
    head["options"] = to_json(options);
  }
  run.told_of_cancel = run.stop.requested();
  if (run.told_of_cancel) head["cancelled"] = true;
  run.tag = next_tag_++;
  run.request = run.worker->begin(std::move(head), std::as_bytes(std::span(stops)),
                                  expected_of(run.job, facts_->context_tokens), inbox_, run.tag);
  return run.id;
}

void RemoteJobs::cancel(JobId job) {
  for (auto& run : jobs_) {
    if (run.id == job) run.stop.request();
  }
}

void RemoteJobs::end(engine::SequenceId sequence) {
  for (auto& run : jobs_) {
    if (run.job.sequence != sequence) continue;
    run.closed = true;
    tell_of_cancel(run);
  }
}

bool RemoteJobs::is_busy(engine::SequenceId sequence) const {
  return std::any_of(jobs_.begin(), jobs_.end(), [&](const Running& run) { return run.job.sequence == sequence; });
}

void RemoteJobs::wake() noexcept {
  woken_ = true;
  inbox_->nudge();
}

RemoteJobs::Step* RemoteJobs::step_of(const WorkerLink& worker) {
  const auto found =
      std::find_if(steps_.begin(), steps_.end(), [&](const Step& step) { return step.worker.get() == &worker; });
  return found == steps_.end() ? nullptr : &*found;
}

bool RemoteJobs::is_together() const {
  return std::any_of(jobs_.begin(), jobs_.end(),
                     [](const Running& run) { return run.job.generate && run.job.generate->on_token; });
}

void RemoteJobs::tell_of_cancel(Running& run) {
  if (std::exchange(run.told_of_cancel, true)) return;
  run.worker->cancel(run.request);
}

void RemoteJobs::pass_cancels_on() {
  for (auto& run : jobs_) {
    if (run.stop.requested()) tell_of_cancel(run);
  }
}

// One request for all jobs of a worker. Those of other engines in there stand still.
void RemoteJobs::begin_steps(const engine::StepLimits& limits) {
  if (!steps_.empty() && is_together()) return;
  std::map<std::shared_ptr<WorkerLink>, Json> idle;
  for (auto& run : jobs_) {
    if (step_of(*run.worker) != nullptr) continue;
    run.may_draw = !run.told_of_cancel;
    auto& requests = idle[run.worker];
    requests.push_back(run.request);
  }
  for (auto& [worker, requests] : idle) {
    auto& step = steps_.emplace_back(Step{worker, next_tag_++});
    static_cast<void>(worker->begin({{"do", "step"},
                                     {"jobs", std::move(requests)},
                                     {"prefill_tokens", limits.prefill_tokens},
                                     {"prefill_tokens_beside", limits.prefill_tokens_beside}},
                                    {}, {}, inbox_, step.tag));
  }
}

void RemoteJobs::step(const engine::StepLimits& limits, const Note& note, std::vector<JobEvent>& events) {
  if (jobs_.empty()) return;
  pass_cancels_on();
  begin_steps(limits);
  wait();
  hand_out(note, events);
}

void RemoteJobs::wait() {
  const bool together = is_together();
  const auto owed = steps_.size();
  bool woken = false;
  while (!steps_.empty()) {
    const bool enough = woken || (!together && steps_.size() < owed);
    auto item = inbox_->take(enough ? milliseconds(0) : shortest_patience());
    if (!item) {
      give_up_on_silent_ones();
      if (enough) return;
    } else if (item->tag != Inbox::kNoTag) {
      take(std::move(*item));
    } else {
      pass_cancels_on();
      woken = woken_.exchange(false) || woken;
    }
  }
}

void RemoteJobs::take(Inbox::Item item) {
  const auto has_its_tag = [&](const auto& one) { return one.tag == item.tag; };
  if (const auto step = std::find_if(steps_.begin(), steps_.end(), has_its_tag); step != steps_.end()) {
    return take_step(step, item.frame);
  }
  const auto run = std::find_if(jobs_.begin(), jobs_.end(), has_its_tag);
  if (run == jobs_.end()) return;
  if (auto* step = step_of(*run->worker)) {
    step->heard = Clock::now();
    step->told = true;
  }
  if (!item.frame.ok()) {
    const auto& error = item.frame.error();
    if (error.code != ErrorCode::kInterrupted) return fail(*run, error);
    return fail(*run, run->worker->reject({error.code, "a job that ends as interrupted", {}, {}}));
  }
  const auto& frame = item.frame.value();
  const auto read = frame.view().has("ok") ? take_answer(*run, frame) : take_event(*run, frame.view());
  if (!read.ok()) fail(*run, run->worker->reject(read.error()));
}

// Its jobs get what has befallen their worker by themselves.
void RemoteJobs::take_step(std::list<Step>::iterator step, const Result<Frame>& frame) {
  const auto worker = step->worker;
  const bool told = step->told;
  steps_.erase(step);
  bool idles = false;
  for (auto& run : jobs_) {
    if (run.worker != worker) continue;
    run.empty_steps = told ? 0 : run.empty_steps + 1;
    idles = idles || run.empty_steps > kMostEmptySteps;
  }
  if (!worker->alive() || (frame.ok() && !idles)) return;
  const Error nothing{ErrorCode::kRemote, "one step after another, and nothing comes of them", {}, {}};
  static_cast<void>(worker->reject(frame.ok() ? nothing : frame.error()));
}

void RemoteJobs::fail(const Running& run, Error error) {
  came_.push_back({run.id, Result<JobResult>(std::move(error))});
}

// A piece of the prefill, each further than the one before, or the next token.
Result<void> RemoteJobs::take_event(Running& run, const JsonView& frame) {
  if (step_of(*run.worker) == nullptr) return frame.fail("outside a step");
  if (frame.has("progress")) {
    BH_TRY(const auto told, frame.at("progress"));
    BH_TRY(run.progress, engine::number<std::uint32_t>(told, "tokens", std::int64_t{run.progress} + 1,
                                                       static_cast<std::int64_t>(run.job.prefill.size())));
    run.prefill_time = Clock::now() - run.begin;
    came_.push_back({run.id, engine::Prefilled{run.progress}});
    return {};
  }
  BH_TRY(const auto told, frame.at("token"));
  if (!run.job.generate) return told.fail("there is nothing to generate");
  if (!run.prefilled()) return told.fail("a token, before the prefill is done");
  if (!run.may_draw) return told.fail("another token in one step, or one after a cancel");
  BH_TRY(auto drawn,
         drawn_from(told, *run.job.generate, static_cast<std::uint32_t>(run.drawn.size()), facts_->vocabulary));
  run.may_draw = run.drafts;
  drawn.piece = tokenizer_->piece(drawn.token);
  run.drawn.push_back(drawn.token);
  came_.push_back({run.id, std::move(drawn)});
  return {};
}

Result<void> RemoteJobs::take_answer(Running& run, const Frame& frame) {
  BH_TRY(const auto ok, frame.view().at("ok"));
  if (!run.closed && step_of(*run.worker) == nullptr) return ok.fail("an answer outside a step");
  BH_TRY(auto result, job_result_from(ok, run.job, facts_->vocabulary));
  if (result.prefill.tokens != run.progress) {
    return ok.fail(fmt::format("{} tokens of a prefill, it told of {}", result.prefill.tokens, run.progress));
  }
  if (result.generated.tokens != run.drawn) return ok.fail("other tokens than it told of");
  const bool cut = run.job.generate && result.generated.finish == Finish::kCancelled;
  if (!run.prefilled() && run.job.generate && !cut) return ok.fail("a generation behind half a prefill");
  if ((cut || !run.prefilled()) && !run.told_of_cancel) return ok.fail("cancelled, and nobody did that");
  result.prefill.time = run.prefill_time;
  came_.push_back({run.id, Result<JobResult>(std::move(result))});
  return {};
}

milliseconds RemoteJobs::shortest_patience() const {
  milliseconds shortest = std::chrono::hours(1);
  for (const auto& step : steps_) {
    const auto silent = std::chrono::duration_cast<milliseconds>(Clock::now() - step.heard);
    shortest = std::min(shortest, std::max(milliseconds(1), step.worker->patience() - silent));
  }
  return shortest;
}

void RemoteJobs::give_up_on_silent_ones() {
  for (const auto& step : steps_) {
    if (Clock::now() - step.heard >= step.worker->patience()) step.worker->give_up_waiting();
  }
}

// In the order in which the jobs came, so that callbacks are called in the order of their requests.
void RemoteJobs::hand_out(const Note& note, std::vector<JobEvent>& events) {
  std::stable_sort(came_.begin(), came_.end(),
                   [](const JobEvent& one, const JobEvent& other) { return one.job < other.job; });
  for (auto& event : came_) {
    const auto run = std::find_if(jobs_.begin(), jobs_.end(), [&](const Running& one) { return one.id == event.job; });
    if (run == jobs_.end()) continue;  // it failed, and that has been told
    if (const auto* drawn = std::get_if<engine::Drawn>(&event.what)) call_back(*run, *drawn);
    if (auto* outcome = std::get_if<Result<JobResult>>(&event.what)) {
      if (outcome->ok() && run->unwanted && outcome->value().generated.finish == Finish::kLength) {
        outcome->value().generated.finish = Finish::kCancelled;  // at its last token, which its callback ended
      }
      note(run->job.sequence, *outcome);
      jobs_.erase(run);
    }
    events.push_back(std::move(event));
  }
  came_.clear();
}

void RemoteJobs::call_back(Running& run, const engine::Drawn& drawn) {
  const auto& on_token = run.job.generate->on_token;
  if (!on_token) return;
  const auto* logprobs = drawn.logprobs ? &*drawn.logprobs : nullptr;
  if (on_token({drawn.token, drawn.index, drawn.piece, logprobs})) return;
  run.unwanted = true;
  run.stop.request();
}

}  // namespace bulkhead::engines::worker
