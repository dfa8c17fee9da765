// SPDX-License-Identifier: MIT
// An engine whose back end computes a whole call at a time. Its jobs wait for advance(), which then runs all that wait,
// from beginning to end: those that come later wait for those before them.
#pragma once

#include "engine/engine.h"

#include <list>
#include <vector>

namespace bulkhead::engine {

class BlockingEngine : public Engine {
 public:
  // What only the back end knows, whether the tokens fit, comes as the outcome of the job.
  [[nodiscard]] Result<JobId> submit(Job job) override;
  void cancel(JobId job) override;
  // Computes to the end of all jobs, whatever the limits.
  void advance(const StepLimits& limits, std::vector<JobEvent>& events) override;
  [[nodiscard]] std::size_t running_jobs() const override { return waiting_.size(); }

 protected:
  // kBadInput while a job of it waits: for every call that a busy sequence refuses.
  [[nodiscard]] Result<void> check_idle(SequenceId sequence) const;
  // For close().
  void cancel_jobs_of(SequenceId sequence);

 private:
  struct Waiting {
    JobId id;
    Job job;
    bool cancelled = false;
  };
  struct Running;
  [[nodiscard]] bool prefill_of(Running& run, std::vector<JobEvent>& events);
  static void tell_of_tokens(Running& run, std::vector<JobEvent>& events);

  std::list<Waiting> waiting_;
};

}  // namespace bulkhead::engine
