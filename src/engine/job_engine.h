// SPDX-License-Identifier: MIT
// An engine that computes jobs step by step. Its prefill() and generate() are jobs that the caller waits for.
#pragma once

#include "engine/engine.h"

#include <functional>
#include <span>
#include <stop_token>
#include <vector>

namespace bulkhead::engine {

class JobEngine : public Engine {
 public:
  // Other jobs that are running go on meanwhile; advance() gives out their events later.
  [[nodiscard]] Result<PrefillResult> prefill(SequenceId sequence, std::span<const Token> tokens,
                                              std::stop_token cancel, const PrefillProgress& progress) override;
  [[nodiscard]] std::vector<Result<GenerateResult>> generate(std::span<const GenerateRequest> requests) override;

  void advance(const StepLimits& limits, std::vector<JobEvent>& events) final;
  [[nodiscard]] std::size_t running_jobs() const final;

 protected:
  // One step of advance(), and how many jobs are not at their end.
  virtual void step(const StepLimits& limits, std::vector<JobEvent>& events) = 0;
  [[nodiscard]] virtual std::size_t unfinished_jobs() const = 0;

 private:
  // Steps until all of `jobs` have ended; hands their events to `take`, with the place of each in `jobs`.
  void run(std::span<const JobId> jobs, const std::function<void(std::size_t, JobEvent&)>& take);

  std::vector<JobEvent> kept_;  // of jobs that nobody waited for
};

// What stands in the way of a job whatever `engine` holds: kBadInput for nothing to do, or a token that is none of its
// vocabulary; and what check_generation() finds (engine/generation.h).
[[nodiscard]] Result<void> check_job(const Job& job, const Engine& engine);

[[nodiscard]] Error busy(SequenceId sequence);

// Takes the last `tokens` tokens out again: what a call that was stopped has left.
[[nodiscard]] Result<void> take_out(Engine& engine, SequenceId sequence, std::uint32_t tokens);

[[nodiscard]] bool is_outcome(const JobEvent& event) noexcept;

}  // namespace bulkhead::engine
