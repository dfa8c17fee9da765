// SPDX-License-Identifier: MIT
#include "desk/core.h"

#include "desk/mutant.h"
#include "engine/job_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::desk {

using engine::Job;
using engine::JobEvent;
using engine::JobId;
using engine::JobResult;

Desk::Core::Core(std::unique_ptr<engine::Engine> engine, const DeskOptions& options)
    : engine_(std::move(engine)), options_(options), thread_([this] { work(); }) {}

Desk::Core::~Core() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  asked_.notify_one();
  engine_->wake();
  thread_.join();
}

void Desk::Core::post(std::function<void()> what) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(what));
  }
  asked_.notify_one();
  engine_->wake();
}

void Desk::Core::cancel(JobId job) {
  const std::lock_guard lock(mutex_);
  const auto found = stops_.find(job);
  if (found != stops_.end()) found->second->request();
}

bool Desk::Core::sleep_until_asked(std::deque<std::function<void()>>& asked) {
  std::unique_lock lock(mutex_);
  // With nobody running, whoever waits starts or fails at once.
  if (running_.empty() && waiting_.empty()) asked_.wait(lock, [&] { return ending_ || !posted_.empty(); });
  asked = std::exchange(posted_, {});
  return !ending_ || !asked.empty();
}

void Desk::Core::work() {
  std::deque<std::function<void()>> asked;
  std::vector<JobEvent> events;
  while (sleep_until_asked(asked)) {
    for (auto& one : asked) one();
    drop_cancelled();
    admit();
    if (engine_->running_jobs() == 0) continue;
    events.clear();
    engine_->advance(options_.limits, events);
    ++counts_.steps;
    hand_out(events);
  }
}

Result<JobId> Desk::Core::submit(ClientId client, Job job, Mailbox& mailbox, bool tells_tokens) {
  BH_TRY(auto* seat, find_idle(client, job.sequence));
  BH_CHECK(engine::check_job(job, *engine_));
  if (job.prefill.empty() && seat->tokens == 0) {
    return Error{ErrorCode::kBadInput, "the sequence is empty", {}, "prefill it first"};
  }
  if (seat->tokens + job.prefill.size() > seat->options.capacity_tokens) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens and {} more do not fit into {}", seat->tokens, job.prefill.size(),
                             seat->options.capacity_tokens),
                 {},
                 "open it with more room"};
  }
  seat->busy = true;
  auto& ticket = waiting_.emplace_back(std::move(job), seat->owner, mailbox, *engine_);
  ticket.tells_tokens = tells_tokens;
  const std::lock_guard lock(mutex_);
  stops_.emplace(ticket.id, &ticket.stop);
  return ticket.id;
}

void Desk::Core::end(std::list<Ticket>& list, std::list<Ticket>::iterator ticket, Result<JobResult> outcome) {
  note_outcome(*ticket, outcome);
  {
    const std::lock_guard lock(mutex_);
    stops_.erase(ticket->id);
  }
  ticket->mailbox->put({ticket->id, std::move(outcome)});
  list.erase(ticket);
}

// The seat may be closed by now.
void Desk::Core::note_outcome(const Ticket& ticket, const Result<JobResult>& outcome) {
  const auto found = seats_.find(ticket.job.sequence);
  if (found == seats_.end()) return;
  Seat& seat = found->second;
  seat.busy = false;
  seat.pinned = false;
  seat.used = ++uses_;
  if (outcome.ok()) {
    seat.tokens += outcome.value().prefill.tokens + static_cast<std::uint32_t>(outcome.value().generated.tokens.size());
  } else if (seat.live) {
    if (const auto state = engine_->inspect(*seat.live); state.ok()) seat.tokens = state.value().tokens;
  }
  count(seat, seat.tokens);
}

void Desk::Core::drop_cancelled() {
  for (auto ticket = waiting_.begin(); ticket != waiting_.end();) {
    const auto here = ticket++;
    if (!here->stop.requested()) continue;
    JobResult nothing;
    nothing.generated.finish = engine::GenerateResult::Finish::kCancelled;
    end(waiting_, here, std::move(nothing));
  }
}

// Of each owner the job that came first, of owners the next after the one served last. One prefill of an owner at a
// time: what a step prefills is shared by owners, not by jobs.
std::list<Ticket>::iterator Desk::Core::next_waiting(const std::set<const Owner*>& without) {
  std::map<std::string, std::list<Ticket>::iterator> heads;
  for (auto ticket = waiting_.begin(); ticket != waiting_.end(); ++ticket) {
    const Owner& owner = *ticket->owner;
    const bool too_many = owner.budget.jobs > 0 && owner.running >= owner.budget.jobs;
    const bool prefills = !ticket->job.prefill.empty() && owner.prefilling > 0;
    if (!too_many && !prefills && !without.contains(&owner)) heads.emplace(owner.name, ticket);
  }
  if (heads.empty()) return waiting_.end();
  const auto next = heads.upper_bound(last_served_);
  return next == heads.end() ? heads.begin()->second : next->second;
}

void Desk::Core::admit() {
  std::set<const Owner*> later;
  while (!waiting_.empty() && running_.size() < options_.most_jobs) {
    const auto ticket = next_waiting(later);
    if (ticket == waiting_.end()) return;
    const Owner* owner = ticket->owner.get();
    std::optional<Error> error;
    switch (start(ticket, error)) {
      case Start::kStarted: last_served_ = owner->name; break;
      case Start::kLater: later.insert(owner); break;
      case Start::kFailed: end(waiting_, ticket, *std::move(error)); break;
    }
  }
}

Desk::Core::Start Desk::Core::start(std::list<Ticket>::iterator ticket, std::optional<Error>& error) {
  Seat& seat = seats_.at(ticket->job.sequence);
  Owner& owner = *ticket->owner;
  std::uint64_t most = seat.tokens + ticket->job.prefill.size();
  if (ticket->job.generate) most += ticket->job.generate->max_tokens;
  most = std::min<std::uint64_t>(most, seat.options.capacity_tokens);
  const auto failed = [&](Error why, bool others_run) {
    const bool later = why.code == ErrorCode::kResource && others_run;
    error = std::move(why);
    return later ? Start::kLater : Start::kFailed;
  };
  // What runs of this owner, or at all, will give back what it takes.
  if (const auto shortage = make_room(seat, most)) {
    return failed(shortage->error, shortage->of_owner ? owner.running > 0 : !running_.empty());
  }
  const auto live = bring_in(seat);
  if (!live.ok()) return failed(live.error(), !running_.empty());
  const auto submitted = with_room(&seat, true, [&] {
    return engine_->submit({*seat.live, ticket->job.prefill, ticket->job.generate, ticket->stop.token()});
  });
  if (!submitted.ok()) return failed(submitted.error(), !running_.empty());
  count(seat, most);
  seat.pinned = true;
  ++owner.running;
  ticket->prefills = !ticket->job.prefill.empty();
  if (ticket->prefills) ++owner.prefilling;
  by_engine_id_.emplace(submitted.value(), ticket);
  running_.splice(running_.end(), waiting_, ticket);
  return Start::kStarted;
}

void Desk::Core::hand_out(std::vector<JobEvent>& events) {
  for (auto& event : events) {
    const auto found = by_engine_id_.find(event.job);
    if (found == by_engine_id_.end()) continue;
    const auto ticket = found->second;
    Owner& owner = *ticket->owner;
    const auto* part = std::get_if<engine::Prefilled>(&event.what);
    auto* outcome = std::get_if<Result<JobResult>>(&event.what);
    const bool prefilled = outcome != nullptr || (part != nullptr && part->tokens == ticket->job.prefill.size());
    if (std::exchange(ticket->prefills, ticket->prefills && !prefilled) && prefilled) --owner.prefilling;
    if (outcome == nullptr) {
      counts_.drawn_tokens += part == nullptr ? 1 : 0;
      if (ticket->tells_tokens) ticket->mailbox->put({ticket->id, std::move(event.what)});
      continue;
    }
    if (outcome->ok()) counts_.prefilled_tokens += outcome->value().prefill.tokens;
    --owner.running;
    by_engine_id_.erase(found);
    if (mutant(Mutant::kWrongTicket) && running_.size() > 1) {
      auto& other = &running_.front() == &*ticket ? running_.back() : running_.front();
      std::swap(ticket->id, other.id);
      std::swap(ticket->mailbox, other.mailbox);
    }
    end(running_, ticket, std::move(*outcome));
  }
}

DeskStatus Desk::Core::status() const {
  auto status = counts_;
  status.sequences = seats_.size();
  status.kv_bytes = kv_bytes_;
  status.engine_kv_bytes = engine_->kv_bytes_taken();
  status.running = running_.size();
  status.waiting = waiting_.size();
  for (const auto& [id, seat] : seats_) {
    if (!seat.parked) continue;
    ++status.parked;
    status.parked_bytes += seat.parked->bytes().size();
  }
  return status;
}

std::map<std::string, CellsAt> Desk::Core::cells_of(ClientId client) const {
  std::map<std::string, CellsAt> cells;
  for (const auto& [id, seat] : seats_) {
    if (seat.client != client) continue;
    auto& its = cells[seat.options.name];
    its = {};
    if (seat.parked) {
      its = {CellsAt::Place::kParked, seat.parked->bytes().size()};
    } else if (seat.tokens > 0) {
      its = {CellsAt::Place::kCache, seat.tokens * engine_->facts().kv_bytes_per_token};
    }
  }
  return cells;
}

}  // namespace bulkhead::desk
