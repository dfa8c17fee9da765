// SPDX-License-Identifier: MIT
#include "engine/blocking_engine.h"

#include "engine/job_engine.h"
#include "engine/job_stop.h"

#include <algorithm>
#include <utility>

namespace bulkhead::engine {
struct BlockingEngine::Running {
  Running(JobId its_id, Job its_job) : id(its_id), job(std::move(its_job)), stop(job) {}

  JobId id;
  Job job;
  JobStop stop;
  JobResult result = {};
};

// Events of the job's tokens, beside its own callback.
void BlockingEngine::tell_of_tokens(Running& run, std::vector<JobEvent>& events) {
  auto& on_token = run.job.generate->on_token;
  on_token = [&events, id = run.id, inner = std::move(on_token)](const TokenEvent& event) {
    Drawn drawn{event.token, event.index, std::string(event.piece)};
    if (event.logprobs != nullptr) drawn.logprobs = *event.logprobs;
    events.push_back({id, std::move(drawn)});
    return !inner || inner(event);
  };
}

Result<void> BlockingEngine::check_idle(SequenceId sequence) const {
  const bool waits =
      std::any_of(waiting_.begin(), waiting_.end(), [&](const Waiting& one) { return one.job.sequence == sequence; });
  return waits ? Result<void>(busy(sequence)) : Result<void>();
}

Result<JobId> BlockingEngine::submit(Job job) {
  BH_CHECK(check_idle(job.sequence));
  BH_TRY(const auto state, inspect(job.sequence));
  BH_CHECK(check_job(job, *this));
  if (job.prefill.empty() && state.tokens == 0) {
    return Error{ErrorCode::kBadInput, "the sequence is empty", {}, "prefill it first"};
  }
  const auto id = new_job_id();
  waiting_.push_back({id, std::move(job)});
  return id;
}

void BlockingEngine::cancel(JobId job) {
  for (auto& one : waiting_) one.cancelled = one.cancelled || one.id == job;
}

void BlockingEngine::cancel_jobs_of(SequenceId sequence) {
  for (auto& one : waiting_) one.cancelled = one.cancelled || one.job.sequence == sequence;
}

void BlockingEngine::advance(const StepLimits& /*limits*/, std::vector<JobEvent>& events) {
  std::list<Running> runs;
  for (auto& one : std::exchange(waiting_, {})) {
    auto& run = runs.emplace_back(one.id, std::move(one.job));
    if (one.cancelled) run.stop.request();
    if (!prefill_of(run, events)) runs.pop_back();
  }
  if (runs.empty()) return;
  std::vector<GenerateRequest> requests;
  for (auto& run : runs) {
    tell_of_tokens(run, events);
    run.job.generate->cancel = run.stop.token();
    requests.push_back({run.job.sequence, *run.job.generate});
  }
  auto results = generate(requests);
  auto result = results.begin();
  for (auto& run : runs) {
    if (result->ok()) run.result.generated = std::move(result->value());
    events.push_back({run.id, result->ok() ? Result<JobResult>(std::move(run.result)) : result->error()});
    ++result;
  }
}

// Whether there is something to generate after it; else the outcome is told.
bool BlockingEngine::prefill_of(Running& run, std::vector<JobEvent>& events) {
  const auto end = [&](Result<JobResult> outcome) {
    events.push_back({run.id, std::move(outcome)});
    return false;
  };
  if (run.stop.requested()) {
    run.result.generated.finish = GenerateResult::Finish::kCancelled;
    return end(std::move(run.result));
  }
  if (!run.job.prefill.empty()) {
    const auto tell = [&](std::uint32_t tokens) { events.push_back({run.id, Prefilled{tokens}}); };
    auto done = prefill(run.job.sequence, run.job.prefill, run.stop.token(), tell);
    if (!done.ok()) return end(done.error());
    run.result.prefill = done.value();
  }
  return run.job.generate ? true : end(std::move(run.result));
}

}  // namespace bulkhead::engine
