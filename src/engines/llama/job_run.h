// SPDX-License-Identifier: MIT
// The jobs of an engine that are running, one batched step after another.
#pragma once

#include "engine/engine.h"
#include "engine/generation.h"
#include "engine/job_stop.h"
#include "engines/llama/lazy_constraint.h"
#include "engines/llama/prompt_lookup.h"
#include "engines/llama/sampler.h"
#include "engines/llama/sequence.h"

#include <chrono>
#include <list>
#include <optional>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

// One job while it runs.
struct RunningJob {
  RunningJob(engine::Job its_job, Sequence& its_sequence, std::span<const engine::Token> forbidden,
             std::optional<LazyConstraint> its_constraint);

  [[nodiscard]] std::span<const engine::Token> prefill_left() const {
    return std::span<const engine::Token>(job.prefill).subspan(result.prefill.tokens);
  }
  // Whether all is drawn that it may draw.
  [[nodiscard]] bool is_enough() const;
  void end(engine::GenerateResult::Finish finish);
  void fail(Error why);

  engine::JobId id = engine::new_job_id();
  engine::Job job;
  Sequence* sequence;  // null: closed
  engine::JobStop stop;
  Sampler sampler;
  std::optional<LazyConstraint> constraint;  // of its grammar
  engine::GeneratedText text;
  PromptLookup lookup = {};
  engine::JobResult result = {};
  std::optional<Error> error = {};
  bool active = true;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
};

class JobRun {
 public:
  using Events = std::vector<engine::JobEvent>;

  // `cancellation` is the one that stops decodes. Both must outlive the run. `invariant`: logits do not depend on what
  // else is in a batch, nor on the chunks of a prefill. Only then do prefills and draws share batches, and only then
  // are drafts verified, since the tokens could be others elsewhere.
  JobRun(const engine::Tokenizer& tokenizer, Cancellation& cancellation, bool invariant)
      : tokenizer_(&tokenizer), cancellation_(&cancellation), invariant_(invariant) {}

  // `forbidden` are never drawn; they and `sequence` must outlive the job, unless forget() ends it first. `constraint`
  // is that of the job's grammar.
  [[nodiscard]] engine::JobId add(engine::Job job, Sequence& sequence, std::span<const engine::Token> forbidden,
                                  std::optional<LazyConstraint> constraint);
  void cancel(engine::JobId job);
  void cancel_all();
  // The sequence is closed: its job ends as cancelled.
  void forget(const Sequence& sequence);

  [[nodiscard]] bool is_busy(const Sequence& sequence) const;
  [[nodiscard]] std::size_t size() const { return jobs_.size(); }
  // What each may come to hold.
  [[nodiscard]] std::vector<CellStore::Growth> growths() const;

  // A failure ends one of them, and so does a cancel: in the middle of a decode only where all of that decode are
  // cancelled, else after it.
  void step(const engine::StepLimits& limits, Events& events);

 private:
  using Clock = std::chrono::steady_clock;
  // What one job computes in this step.
  struct Work {
    RunningJob* job;
    StepPart part;
    Draft proposal = {};
  };

  void end_those_that_are_done();
  void take_out_ended(Events& events);
  [[nodiscard]] std::vector<Work> prefill_work(const engine::StepLimits& limits, bool beside);
  [[nodiscard]] bool is_together(const std::vector<Work>& batch, const Work& next) const;
  void compute(std::vector<Work>& batch, Events& events);
  void add_drafts(std::vector<Work>& batch) const;
  void take_in(Work& work, StepOutcome& outcome, Events& events);
  void take_in_prefill(Work& work, const StepOutcome& outcome, Events& events);
  void draw_and_verify(Work& work, const StepOutcome& outcome, Events& events);
  void draw_first(RunningJob& job, Events& events);
  void draw(RunningJob& job, std::span<const float> logits, Events& events);
  [[nodiscard]] static Result<engine::Token> choose(RunningJob& job, std::span<const float> logits);
  [[nodiscard]] bool tell(RunningJob& job, engine::Token token, std::string piece, Events& events) const;

  const engine::Tokenizer* tokenizer_;
  Cancellation* cancellation_;
  bool invariant_;
  std::list<RunningJob> jobs_;  // those that prefill take turns in this order
  StepTimes times_;
};

}  // namespace bulkhead::engines::llama
