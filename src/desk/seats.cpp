// SPDX-License-Identifier: MIT
// Sequences at the desk: who has them, what they count, where their cells are.
#include "desk/core.h"
#include "desk/mutant.h"
#include "engine/job_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::desk {

using engine::ForkResult;
using engine::OpenOptions;
using engine::PrefillResult;
using engine::SequenceId;
using engine::SequenceState;
using engine::Snapshot;
using engine::Token;

namespace {

Error not_open(SequenceId id) {
  return {ErrorCode::kClosed, fmt::format("sequence {} is not open", id.value()), {}, {}};
}

}  // namespace

// Those that have nothing, and may have anything, are forgotten: names come from outside.
std::shared_ptr<Owner> Desk::Core::owner(const std::string& name) {
  const auto found = owners_.find(name);
  if (found != owners_.end()) return found->second;
  std::erase_if(owners_,
                [](const auto& entry) { return entry.second.use_count() == 1 && entry.second->budget == Budget{}; });
  auto owner = std::make_shared<Owner>();
  owner->name = name;
  owners_.emplace(name, owner);
  return owner;
}

Result<Seat*> Desk::Core::find(ClientId client, SequenceId id) {
  const auto found = seats_.find(id);
  if (found == seats_.end() || found->second.client != client) return not_open(id);
  return &found->second;
}

Result<Seat*> Desk::Core::find_idle(ClientId client, SequenceId id) {
  BH_TRY(auto* seat, find(client, id));
  if (seat->busy) return engine::busy(id);
  return seat;
}

SequenceId Desk::Core::add(Seat seat) {
  const auto id = mutant(Mutant::kIdsOfItsOwn) ? SequenceId(opened_++) : engine::new_sequence_id();
  auto* charged = seat.owner.get();
  for (const auto& [name, owner] : owners_) {
    if (mutant(Mutant::kWrongBudget) && owner != seat.owner) charged = owner.get();
  }
  ++charged->sequences;
  seat.used = ++uses_;
  auto& added = seats_.emplace(id, std::move(seat)).first->second;
  count(added, added.tokens);
  return id;
}

// A parked one counts nothing.
void Desk::Core::count(Seat& seat, std::uint64_t tokens) {
  const auto bytes = seat.live ? tokens * engine_->facts().kv_bytes_per_token : 0;
  seat.owner->kv_bytes += bytes - seat.counted_bytes;
  kv_bytes_ += bytes - seat.counted_bytes;
  seat.counted_bytes = bytes;
}

Result<void> Desk::Core::check_sequences(const Owner& owner) const {
  if (owner.budget.sequences == 0 || owner.sequences < owner.budget.sequences) return {};
  return Error{ErrorCode::kResource,
               fmt::format("\"{}\" has {} sequences open, which is all of its budget", owner.name, owner.sequences),
               owner.name, "close one"};
}

bool Desk::Core::park(Seat& seat) {
  const auto state = engine_->inspect(*seat.live);
  if (!state.ok()) return false;
  auto kept = engine_->snapshot(*seat.live);
  if (!kept.ok() || !engine_->close(*seat.live).ok()) return false;
  seat.live.reset();
  seat.parked = std::move(kept).value();
  seat.parked_state = state.value();
  seat.parked_state.kv_bytes_allocated = 0;
  count(seat, 0);
  ++counts_.parks;
  return true;
}

bool Desk::Core::park_one(const Owner* owner, const Seat* but) {
  if (!engine_->can(engine::Capability::kSnapshot)) return false;
  std::vector<Seat*> idle;
  for (auto& [id, seat] : seats_) {
    const bool others = owner != nullptr && seat.owner.get() != owner;
    if (seat.live && seat.tokens > 0 && !seat.pinned && &seat != but && !others) idle.push_back(&seat);
  }
  std::sort(idle.begin(), idle.end(), [](const Seat* a, const Seat* b) { return a->used < b->used; });
  return std::any_of(idle.begin(), idle.end(), [&](Seat* seat) { return park(*seat); });
}

std::uint64_t Desk::Core::park_all() {
  std::uint64_t parked = 0;
  while (park_one(nullptr, nullptr)) ++parked;
  return parked;
}

std::optional<Shortage> Desk::Core::make_room(const Seat& seat, std::uint64_t tokens) {
  const auto needed = tokens * engine_->facts().kv_bytes_per_token;
  const auto& owner = *seat.owner;
  const auto too_much = [&](std::uint64_t limit, std::uint64_t taken, const std::string& whose) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} bytes of cells are needed beside {}, {} may have {}", needed, taken, whose, limit),
                 owner.name, "close partitions, use fewer or shorter ones, or ask for a larger budget"};
  };
  for (;;) {
    const auto own = owner.kv_bytes - seat.counted_bytes;
    const auto all = kv_bytes_ - seat.counted_bytes;
    const bool over_budget = owner.budget.kv_bytes > 0 && own + needed > owner.budget.kv_bytes;
    const bool over_all = options_.kv_bytes > 0 && all + needed > options_.kv_bytes;
    if (!over_budget && !over_all) return std::nullopt;
    if (park_one(over_budget ? &owner : nullptr, &seat)) continue;
    if (over_budget) return Shortage{too_much(owner.budget.kv_bytes, own, fmt::format("\"{}\"", owner.name)), true};
    return Shortage{too_much(options_.kv_bytes, all, "all owners together"), false};
  }
}

Result<SequenceId> Desk::Core::bring_in(Seat& seat) {
  seat.used = ++uses_;
  if (seat.live) return *seat.live;
  BH_TRY(const auto live, with_room(&seat, true, [&] { return engine_->restore(*seat.parked, seat.options); }));
  seat.live = live;
  seat.parked.reset();
  count(seat, seat.tokens);
  ++counts_.unparks;
  return live;
}

Result<SequenceId> Desk::Core::open(ClientId client, const OpenOptions& options) {
  const auto owner = this->owner(options.owner);
  BH_CHECK(check_sequences(*owner));
  BH_TRY(const auto live,
         with_room(nullptr, may_fit(0, options.capacity_tokens), [&] { return engine_->open(options); }));
  return add({.client = client, .owner = owner, .options = options, .live = live});
}

Result<ForkResult> Desk::Core::fork(ClientId client, SequenceId source, std::uint32_t tokens,
                                    const OpenOptions& options) {
  BH_TRY(auto* from, find_idle(client, source));
  const auto owner = this->owner(options.owner);
  BH_CHECK(check_sequences(*owner));
  Seat made{.client = client, .owner = owner, .options = options};
  BH_TRY(const auto live, bring_in(*from));
  const bool fits = may_fit(tokens, options.capacity_tokens) && tokens <= from->tokens;
  if (fits) {
    from->pinned = true;
    const auto shortage = make_room(made, tokens);
    from->pinned = false;
    if (shortage) return shortage->error;
  }
  BH_TRY(auto copy, with_room(from, fits, [&] { return engine_->fork(live, tokens, options); }));
  made.live = copy.sequence;
  made.tokens = tokens;
  copy.sequence = add(std::move(made));
  return copy;
}

Result<PrefillResult> Desk::Core::truncate(ClientId client, SequenceId id, std::uint32_t tokens) {
  BH_TRY(auto* seat, find_idle(client, id));
  BH_TRY(const auto live, bring_in(*seat));
  BH_TRY(const auto cut, with_room(seat, true, [&] { return engine_->truncate(live, tokens); }));
  seat->tokens = tokens;
  count(*seat, tokens);
  return cut;
}

Result<std::vector<double>> Desk::Core::score(ClientId client, SequenceId id, std::span<const Token> tokens) {
  BH_TRY(auto* seat, find_idle(client, id));
  BH_TRY(const auto live, bring_in(*seat));
  const auto most = seat->tokens + tokens.size();
  const bool fits = may_fit(most, seat->options.capacity_tokens);
  if (fits) {
    if (const auto shortage = make_room(*seat, most)) return shortage->error;
  }
  auto scores = with_room(seat, fits, [&] { return engine_->score(live, tokens); });
  if (scores.ok()) seat->tokens += static_cast<std::uint32_t>(tokens.size());
  count(*seat, seat->tokens);
  return scores;
}

Result<std::vector<std::vector<double>>> Desk::Core::score_continuations(
    ClientId client, SequenceId id, std::span<const std::vector<Token>> continuations) {
  BH_TRY(auto* seat, find_idle(client, id));
  BH_TRY(const auto live, bring_in(*seat));
  std::size_t longest = 0;
  for (const auto& continuation : continuations) longest = std::max(longest, continuation.size());
  const bool fits = may_fit(0, seat->tokens + longest);
  return with_room(seat, fits, [&] { return engine_->score_continuations(live, continuations); });
}

Result<SequenceState> Desk::Core::inspect(ClientId client, SequenceId id) {
  BH_TRY(const auto* seat, find(client, id));
  return seat->live ? engine_->inspect(*seat->live) : Result<SequenceState>(seat->parked_state);
}

Result<std::uint64_t> Desk::Core::state_hash(ClientId client, SequenceId id) {
  BH_TRY(auto* seat, find_idle(client, id));
  BH_TRY(const auto live, bring_in(*seat));
  return engine_->state_hash(live);
}

Result<Snapshot> Desk::Core::snapshot(ClientId client, SequenceId id) {
  BH_TRY(auto* seat, find_idle(client, id));
  if (seat->parked) return *seat->parked;
  return engine_->snapshot(*seat->live);
}

Result<SequenceId> Desk::Core::restore(ClientId client, const Snapshot& snapshot, const OpenOptions& options) {
  const auto owner = this->owner(options.owner);
  BH_CHECK(check_sequences(*owner));
  Seat made{.client = client, .owner = owner, .options = options};
  BH_TRY(const auto live, engine_->restore(snapshot, options));
  const auto state = engine_->inspect(live);
  const auto shortage = state.ok() ? make_room(made, state.value().tokens) : Shortage{state.error()};
  if (shortage) {
    static_cast<void>(engine_->close(live));
    return shortage->error;
  }
  made.live = live;
  made.tokens = state.value().tokens;
  return add(std::move(made));
}

// A job of it ends as cancelled: one that waits at once, one that runs with the next step.
Result<void> Desk::Core::close(ClientId client, SequenceId id) {
  const auto found = seats_.find(id);
  if (found == seats_.end() || found->second.client != client) return not_open(id);
  for (auto& ticket : waiting_) {
    if (ticket.job.sequence == id) ticket.stop.request();
  }
  drop_cancelled();
  Seat& seat = found->second;
  auto closed = seat.live ? engine_->close(*seat.live) : Result<void>();
  seat.live.reset();
  count(seat, 0);
  --seat.owner->sequences;
  seats_.erase(found);
  return closed;
}

void Desk::Core::close_all(ClientId client) {
  std::vector<SequenceId> its;
  for (const auto& [id, seat] : seats_) {
    if (seat.client == client) its.push_back(id);
  }
  for (const auto id : its) static_cast<void>(close(client, id));
}

}  // namespace bulkhead::desk
