// SPDX-License-Identifier: MIT
// The jobs of one engine, in one worker or in many, which compute at the same time. A worker computes a step when it is
// asked for one: so a job is never further than its last events say, and whoever stops it stops it right there.
//
// A worker that tells of what cannot be is ended, and all its jobs get kRemote: a token or progress outside a step, for
// a job that has ended, before the prefill is done, after a cancel that came before the step, or a second one in one
// step where nothing was to be drafted; more tokens than were asked for; an answer that is not made of what it told of;
// steps without end of which nothing comes.
//
// Thread rule: one thread, but for wake().
#pragma once

#include "engine/engine.h"
#include "engine/job_stop.h"
#include "engines/worker/worker_link.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

namespace bulkhead::engines::worker {

class RemoteJobs {
 public:
  // Hears of every outcome, before that is among the events.
  using Note = std::function<void(engine::SequenceId, const Result<engine::JobResult>&)>;

  // Both must outlive this.
  RemoteJobs(const engine::Facts& facts, const engine::Tokenizer& tokenizer) : facts_(&facts), tokenizer_(&tokenizer) {}

  // Sends the job, which has been checked, to `worker`, where its sequence has the number `sequence`. What that does
  // not take in it says with the next step.
  [[nodiscard]] engine::JobId add(engine::Job job, std::shared_ptr<WorkerLink> worker, std::uint32_t sequence);
  void cancel(engine::JobId job);
  // The sequence is about to be closed: its worker hears that its job is cancelled.
  void end(engine::SequenceId sequence);

  [[nodiscard]] bool is_busy(engine::SequenceId sequence) const;
  [[nodiscard]] std::size_t size() const { return jobs_.size(); }

  // Asks for a step of all jobs whose workers are not in one, and waits: where a job has an on_token, for all steps,
  // so that no job gets ahead of what the callbacks have seen; else for the first. Then takes all that is there. A
  // worker that is silent for too long is given up.
  void step(const engine::StepLimits& limits, const Note& note, std::vector<engine::JobEvent>& events);

  // step() returns with what has come by then. Any thread.
  void wake() noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  struct Nudge {
    std::shared_ptr<Inbox> inbox;
    void operator()() const noexcept { inbox->nudge(); }
  };
  struct Running {
    Running(engine::Job its_job, std::shared_ptr<WorkerLink> its_worker, const std::shared_ptr<Inbox>& inbox)
        : job(std::move(its_job)), worker(std::move(its_worker)), stop(job), nudge(stop.token(), Nudge{inbox}) {}

    [[nodiscard]] bool prefilled() const { return progress == job.prefill.size(); }

    engine::JobId id = engine::new_job_id();
    engine::Job job;
    std::shared_ptr<WorkerLink> worker;
    engine::JobStop stop;
    std::stop_callback<Nudge> nudge;
    RequestId request = 0;
    std::size_t tag = 0;
    std::uint32_t progress = 0;  // tokens of the prefill that it told of ...
    engine::Duration prefill_time{};
    std::vector<engine::Token> drawn = {};  // ... and those drawn
    bool told_of_cancel = false;
    bool closed = false;    // its sequence
    bool may_draw = false;  // in this step
    bool drafts = false;    // a step may draw several
    bool unwanted = false;  // its on_token wants no more
    std::uint32_t empty_steps = 0;
    Clock::time_point begin = Clock::now();
  };
  // One that a worker owes.
  struct Step {
    std::shared_ptr<WorkerLink> worker;
    std::size_t tag = 0;
    Clock::time_point heard = Clock::now();
    bool told = false;  // of some job
  };

  [[nodiscard]] Step* step_of(const WorkerLink& worker);
  [[nodiscard]] bool is_together() const;
  void pass_cancels_on();
  static void tell_of_cancel(Running& run);
  void begin_steps(const engine::StepLimits& limits);
  void wait();
  void take(Inbox::Item item);
  void take_step(std::list<Step>::iterator step, const Result<Frame>& frame);
  [[nodiscard]] Result<void> take_event(Running& run, const JsonView& frame);
  [[nodiscard]] Result<void> take_answer(Running& run, const Frame& frame);
  void fail(const Running& run, Error error);
  [[nodiscard]] std::chrono::milliseconds shortest_patience() const;
  void give_up_on_silent_ones();
  void hand_out(const Note& note, std::vector<engine::JobEvent>& events);
  static void call_back(Running& run, const engine::Drawn& drawn);

  const engine::Facts* facts_;
  const engine::Tokenizer* tokenizer_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::atomic<bool> woken_ = false;
  std::list<Running> jobs_;  // in the order in which they came
  std::list<Step> steps_;
  std::vector<engine::JobEvent> came_;  // in this step
  std::size_t next_tag_ = 0;
};

}  // namespace bulkhead::engines::worker
