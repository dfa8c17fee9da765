// SPDX-License-Identifier: MIT
// What the desk's thread does. Everything here but post(), call() and cancel() runs on that thread alone.
#pragma once

#include "desk/desk.h"
#include "desk/mailbox.h"
#include "engine/job_stop.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace bulkhead::desk {

using ClientId = Id<struct ClientTag>;

// Who shares one budget.
struct Owner {
  std::string name;
  Budget budget;
  std::uint64_t kv_bytes = 0;    // of cells that are not parked, running jobs with all that they may come to hold
  std::uint32_t sequences = 0;   // open
  std::uint32_t running = 0;     // jobs
  std::uint32_t prefilling = 0;  // of these: one at a time, so that owners share what a step prefills
};

// One sequence of a client.
struct Seat {
  ClientId client{0};
  std::shared_ptr<Owner> owner;
  engine::OpenOptions options;
  std::optional<engine::SequenceId> live;  // in the engine; none: parked
  std::optional<engine::Snapshot> parked;
  engine::SequenceState parked_state = {};
  std::uint32_t tokens = 0;
  std::uint64_t counted_bytes = 0;  // in the owner's kv_bytes
  std::uint64_t used = 0;           // when: larger is later
  bool busy = false;                // a job of it waits or runs
  bool pinned = false;              // it must not be parked: its job runs, or it is being forked
};

// A job from submit() to its outcome.
struct Ticket {
  Ticket(engine::Job its_job, std::shared_ptr<Owner> its_owner, Mailbox& its_mailbox, engine::Engine& engine)
      : job(std::move(its_job)),
        stop(job),
        wakes(stop.token(), Wake{&engine}),
        owner(std::move(its_owner)),
        mailbox(&its_mailbox) {}

  // One that is cancelled while it waits ends between two steps, and a step may be long.
  struct Wake {
    engine::Engine* engine;
    void operator()() const noexcept { engine->wake(); }
  };

  engine::JobId id = engine::new_job_id();
  engine::Job job;
  engine::JobStop stop;
  std::stop_callback<Wake> wakes;
  std::shared_ptr<Owner> owner;
  Mailbox* mailbox;  // outlives the ticket
  bool tells_tokens = true;
  bool prefills = false;  // counted in the owner's
};

// Why there is no room.
struct Shortage {
  Error error;           // kResource
  bool of_owner = true;  // its budget; else that of all
};

class Desk::Core {
 public:
  Core(std::unique_ptr<engine::Engine> engine, const DeskOptions& options);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Any thread: runs `what` between two steps. call() waits for it and gives its result.
  void post(std::function<void()> what);
  template <class What>
  auto call(What what) -> std::invoke_result_t<What> {
    // Shared: the desk's thread may still be in it when the caller has its result.
    auto done = std::make_shared<std::promise<std::invoke_result_t<What>>>();
    auto result = done->get_future();
    post([&what, done] {
      try {
        if constexpr (std::is_void_v<std::invoke_result_t<What>>) {
          what();
          done->set_value();
        } else {
          done->set_value(what());
        }
      } catch (...) {
        done->set_exception(std::current_exception());
      }
    });
    return result.get();
  }
  // Any thread: the job ends within one step.
  void cancel(engine::JobId job);

  [[nodiscard]] engine::Engine& engine() { return *engine_; }
  [[nodiscard]] const engine::Engine& engine() const { return *engine_; }

  [[nodiscard]] std::shared_ptr<Owner> owner(const std::string& name);

  // ---- calls of the seam, with the desk's own ids
  [[nodiscard]] Result<engine::SequenceId> open(ClientId client, const engine::OpenOptions& options);
  [[nodiscard]] Result<engine::JobId> submit(ClientId client, engine::Job job, Mailbox& mailbox, bool tells_tokens);
  [[nodiscard]] Result<engine::ForkResult> fork(ClientId client, engine::SequenceId source, std::uint32_t tokens,
                                                const engine::OpenOptions& options);
  [[nodiscard]] Result<engine::PrefillResult> truncate(ClientId client, engine::SequenceId id, std::uint32_t tokens);
  [[nodiscard]] Result<std::vector<double>> score(ClientId client, engine::SequenceId id,
                                                  std::span<const engine::Token> tokens);
  [[nodiscard]] Result<std::vector<std::vector<double>>> score_continuations(
      ClientId client, engine::SequenceId id, std::span<const std::vector<engine::Token>> continuations);
  [[nodiscard]] Result<engine::SequenceState> inspect(ClientId client, engine::SequenceId id);
  [[nodiscard]] Result<std::uint64_t> state_hash(ClientId client, engine::SequenceId id);
  [[nodiscard]] Result<engine::Snapshot> snapshot(ClientId client, engine::SequenceId id);
  [[nodiscard]] Result<engine::SequenceId> restore(ClientId client, const engine::Snapshot& snapshot,
                                                   const engine::OpenOptions& options);
  [[nodiscard]] Result<void> close(ClientId client, engine::SequenceId id);
  void close_all(ClientId client);

  [[nodiscard]] std::uint64_t park_all();
  [[nodiscard]] DeskStatus status() const;
  [[nodiscard]] std::map<std::string, CellsAt> cells_of(ClientId client) const;

 private:
  using Seats = std::map<engine::SequenceId, Seat>;
  enum class Start { kStarted, kLater, kFailed };

  void work();
  // What was posted; nothing, and false, when it is time to end.
  [[nodiscard]] bool sleep_until_asked(std::deque<std::function<void()>>& asked);

  // ---- seats
  [[nodiscard]] Result<Seat*> find(ClientId client, engine::SequenceId id);
  [[nodiscard]] Result<Seat*> find_idle(ClientId client, engine::SequenceId id);
  [[nodiscard]] engine::SequenceId add(Seat seat);
  void count(Seat& seat, std::uint64_t tokens);
  [[nodiscard]] Result<void> check_sequences(const Owner& owner) const;
  // Live, and the youngest of all.
  [[nodiscard]] Result<engine::SequenceId> bring_in(Seat& seat);
  [[nodiscard]] bool park(Seat& seat);
  // Parks what was used longest ago, of `owner` or, null, of anybody, but not `but`. False: there is nothing to park.
  [[nodiscard]] bool park_one(const Owner* owner, const Seat* but);
  // Room for `tokens` in `seat`, by parking others. What is short, if that is not enough.
  [[nodiscard]] std::optional<Shortage> make_room(const Seat& seat, std::uint64_t tokens);
  // Does `what` again and again, parking another sequence in between, as long as it is kResource. Not where that would
  // not help: what asks for more than any sequence may have must not send others away.
  template <class What>
  auto with_room(const Seat* but, bool may_help, const What& what) -> std::invoke_result_t<What> {
    for (;;) {
      auto done = what();
      const bool no_room = !done.ok() && done.error().code == ErrorCode::kResource;
      if (!no_room || !may_help || !park_one(nullptr, but)) return done;
    }
  }
  [[nodiscard]] bool may_fit(std::uint64_t tokens, std::uint64_t capacity) const {
    return tokens <= capacity && capacity <= engine_->facts().context_tokens;
  }

  // ---- jobs
  void admit();
  [[nodiscard]] std::list<Ticket>::iterator next_waiting(const std::set<const Owner*>& without);
  // kLater: there is no room as long as others run.
  [[nodiscard]] Start start(std::list<Ticket>::iterator ticket, std::optional<Error>& error);
  void end(std::list<Ticket>& list, std::list<Ticket>::iterator ticket, Result<engine::JobResult> outcome);
  void drop_cancelled();
  void hand_out(std::vector<engine::JobEvent>& events);
  void note_outcome(const Ticket& ticket, const Result<engine::JobResult>& outcome);

  std::unique_ptr<engine::Engine> engine_;
  DeskOptions options_;
  std::map<std::string, std::shared_ptr<Owner>> owners_;
  Seats seats_;
  std::list<Ticket> waiting_;  // in the order in which they came
  std::list<Ticket> running_;
  std::map<engine::JobId, std::list<Ticket>::iterator> by_engine_id_;  // those running
  std::string last_served_;                                            // owner whose job started last
  std::uint64_t uses_ = 0;
  std::uint32_t opened_ = 0;    // for a mutant
  std::uint64_t kv_bytes_ = 0;  // of all owners
  DeskStatus counts_;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable asked_;
  std::deque<std::function<void()>> posted_;
  std::map<engine::JobId, engine::JobStop*> stops_;
  bool ending_ = false;

  std::thread thread_;  // last: all else is there when it starts
};

}  // namespace bulkhead::desk
