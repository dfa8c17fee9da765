// SPDX-License-Identifier: MIT
#include "engine/job_engine.h"

#include "engine/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::engine {

Result<void> check_job(const Job& job, const Engine& engine) {
  const auto vocabulary = engine.facts().vocabulary;
  if (job.prefill.empty() && !job.generate) {
    return Error{ErrorCode::kBadInput, "there are no tokens to append, and there is nothing to generate", {}, {}};
  }
  for (const Token token : job.prefill) {
    if (token < 0 || token >= static_cast<Token>(vocabulary)) {
      return Error{
          ErrorCode::kBadInput, fmt::format("token {} is outside the vocabulary of {}", token, vocabulary), {}, {}};
    }
  }
  return job.generate ? check_generation(*job.generate, engine) : Result<void>();
}

Error busy(SequenceId sequence) {
  return {ErrorCode::kBadInput,
          fmt::format("a job of sequence {} is running", sequence.value()),
          {},
          "wait for its end, or cancel it"};
}

bool is_outcome(const JobEvent& event) noexcept {
  return std::holds_alternative<Result<JobResult>>(event.what);
}

void JobEngine::advance(const StepLimits& limits, std::vector<JobEvent>& events) {
  std::move(kept_.begin(), kept_.end(), std::back_inserter(events));
  kept_.clear();
  step(limits, events);
}

std::size_t JobEngine::running_jobs() const {
  return unfinished_jobs() + static_cast<std::size_t>(std::count_if(kept_.begin(), kept_.end(), is_outcome));
}

void JobEngine::run(std::span<const JobId> jobs, const std::function<void(std::size_t, JobEvent&)>& take) {
  std::vector<JobEvent> events;
  for (std::size_t ended = 0; ended < jobs.size();) {
    events.clear();
    step({}, events);
    for (auto& event : events) {
      const auto place = std::find(jobs.begin(), jobs.end(), event.job);
      if (place == jobs.end()) {
        kept_.push_back(std::move(event));
        continue;
      }
      ended += is_outcome(event) ? 1U : 0U;
      take(static_cast<std::size_t>(place - jobs.begin()), event);
    }
  }
}

Result<PrefillResult> JobEngine::prefill(SequenceId sequence, std::span<const Token> tokens, std::stop_token cancel,
                                         const PrefillProgress& progress) {
  Job job{.sequence = sequence, .prefill = {tokens.begin(), tokens.end()}, .generate = {}, .cancel = std::move(cancel)};
  BH_TRY(const auto id, submit(std::move(job)));
  Result<PrefillResult> result = PrefillResult{};
  run({&id, 1}, [&](std::size_t /*place*/, JobEvent& event) {
    if (const auto* part = std::get_if<Prefilled>(&event.what); part != nullptr && progress) progress(part->tokens);
    if (const auto* outcome = std::get_if<Result<JobResult>>(&event.what)) {
      result = outcome->ok() ? Result<PrefillResult>(outcome->value().prefill) : outcome->error();
    }
  });
  if (!result.ok() || result.value().tokens == tokens.size()) return result;
  BH_CHECK(take_out(*this, sequence, result.value().tokens));
  return Error{ErrorCode::kInterrupted, "the prefill was cancelled", {}, {}};
}

Result<void> take_out(Engine& engine, SequenceId sequence, std::uint32_t tokens) {
  if (tokens == 0) return {};
  BH_TRY(const auto state, engine.inspect(sequence));
  BH_TRY([[maybe_unused]] const auto cut, engine.truncate(sequence, state.tokens - tokens));
  return {};
}

std::vector<Result<GenerateResult>> JobEngine::generate(std::span<const GenerateRequest> requests) {
  std::vector<Result<GenerateResult>> results;
  results.reserve(requests.size());
  std::vector<JobId> jobs;
  std::vector<std::size_t> places;
  for (const auto& request : requests) {
    const auto id = submit({.sequence = request.sequence, .prefill = {}, .generate = request.options, .cancel = {}});
    if (!id.ok()) {
      results.emplace_back(id.error());
      continue;
    }
    jobs.push_back(id.value());
    places.push_back(results.size());
    results.emplace_back(GenerateResult{});
  }
  run(jobs, [&](std::size_t place, JobEvent& event) {
    auto* outcome = std::get_if<Result<JobResult>>(&event.what);
    if (outcome == nullptr) return;
    auto& result = results[places[place]];
    result = outcome->ok() ? Result<GenerateResult>(std::move(outcome->value().generated)) : outcome->error();
  });
  return results;
}

}  // namespace bulkhead::engine
