// SPDX-License-Identifier: MIT
#include "serve/conversations_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::serve {

using conversation::TracedTokens;

bool is_partition_id(std::string_view name) {
  return name.starts_with("p-") && name.size() > 2 && name.find_first_not_of("0123456789", 2) == std::string_view::npos;
}

Error no_such_partition() {
  return {ErrorCode::kUsage, "there is no such partition", {}, {}};
}

Error name_taken(const std::string& name) {
  return {ErrorCode::kClosed, fmt::format("there is a partition '{}' already", name), {}, {}};
}

Conversations::Conversations(engine::Engine& engine, Limits limits) : engine_(&engine), limits_(limits) {}
Conversations::~Conversations() = default;

Conversations::Owner& Conversations::owner_of(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  auto& owner = owners_[name];
  if (!owner) owner.reset(new Owner{.name = name});
  return *owner;
}

Conversations::Lease::Lease(std::shared_ptr<Conversation> taken) : taken_(std::move(taken)) {}

Conversations::Lease::~Lease() {
  if (taken_) taken_->owner->give_back(taken_);
}

engine::OpenOptions Conversations::options_of(const Owner& owner) const {
  return {.capacity_tokens = engine_->facts().context_tokens, .owner = owner.name};
}

std::string Conversations::new_id() {
  return fmt::format("p-{}", ++opened_);
}

// The partition used longest ago goes, if nobody gave it a name.
Result<void> Conversations::make_room(Owner& owner) const {
  auto& own = owner.all;
  if (own.size() < limits_.partitions) return {};
  auto oldest = own.end();
  for (auto one = own.begin(); one != own.end(); ++one) {
    if ((*one)->in_use() || !(*one)->identity.partition.empty()) continue;
    if (oldest == own.end() || (*one)->used < (*oldest)->used) oldest = one;
  }
  if (oldest == own.end()) {
    return Error{ErrorCode::kResource,
                 fmt::format("all {} partitions are named or in use", limits_.partitions),
                 {},
                 "delete one, or wait"};
  }
  own.erase(oldest);
  return {};
}

Result<Conversations::Held> Conversations::open(Owner& owner, const Identity& identity) {
  BH_CHECK(make_room(owner));
  auto made = std::make_shared<Conversation>(Conversation{.id = new_id(), .owner = &owner, .identity = identity});
  BH_TRY(made->partition, partition::Partition::open(*engine_, made->id, options_of(owner)));
  owner.all.push_back(made);
  return made;
}

Result<Conversations::Held> Conversations::fork_of(const Conversation& source, std::uint64_t tokens,
                                                   const std::string& name) {
  auto made = std::make_shared<Conversation>(
      Conversation{.id = new_id(), .owner = source.owner, .identity = source.identity, .forked_from = source.id});
  made->identity.partition = name;
  BH_TRY(made->partition,
         source.partition->fork(made->id, static_cast<std::uint32_t>(tokens), options_of(*source.owner)));
  made->log = source.log;
  made->crossings = source.crossings;
  made->answers = source.answers;
  made->known = source.known;
  made->raw = source.raw;
  if (tokens < source.partition->ledger().tokens.size()) made->shortened(tokens);
  source.owner->all.push_back(made);
  return made;
}

Result<Conversations::Lease> Conversations::take(const std::string& owner, const Identity& identity,
                                                 const Wanted& wanted, const std::stop_token& cancel) {
  auto& taker = owner_of(owner);
  std::unique_lock lock(taker.mutex);
  return identity.partition.empty() ? take_by_history(lock, taker, identity, wanted, cancel)
                                    : take_named(lock, taker, identity, wanted, cancel);
}

Result<Conversations::Lease> Conversations::take_named(std::unique_lock<std::mutex>& lock, Owner& owner,
                                                       const Identity& identity, const Wanted& wanted,
                                                       const std::stop_token& cancel) {
  BH_TRY(const auto held, wait_for(lock, owner, identity.partition, cancel));
  if (!held) {
    if (is_partition_id(identity.partition)) return no_such_partition();
    BH_TRY(auto made, open(owner, identity));
    Lease lease(std::move(made));
    lease.reuse_.reason = "new";
    lease.wants_all(wanted);
    return lease;
  }
  lock.unlock();  // cutting may compute
  Lease lease(held);
  BH_CHECK(fit(lease, wanted));
  return lease;
}

// One that is there, once all who came before have had it; null: there is none.
Result<Conversations::Held> Conversations::wait_for(std::unique_lock<std::mutex>& lock, Owner& owner,
                                                    const std::string& name, const std::stop_token& cancel) const {
  const auto number = ++owner.waited;
  for (;;) {
    auto held = owner.find(name);
    if (!held) return held;
    if (held->in_use()) {
      held->waiting.push_back(number);
      const auto is_mine = [&] { return held->broken || (!held->busy && held->waiting.front() == number); };
      const bool mine = owner.given_back.wait(lock, cancel, is_mine);
      std::erase(held->waiting, number);
      if (!mine) {
        owner.given_back.notify_all();
        return Error{ErrorCode::kInterrupted, "stopped while waiting for its partition", name, {}};
      }
      if (held->broken) continue;
    }
    held->busy = true;
    return held;
  }
}

// A named partition holds what is wanted and nothing else: what differs is cut off.
Result<void> Conversations::fit(Lease& lease, const Wanted& wanted) const {
  const auto& partition = *lease.taken_->partition;
  const auto held = partition.ledger().tokens.size();
  lease.prefilled_before_ = partition.ledger().prefilled_tokens;
  lease.reuse_.reason = held == 0 ? "new" : "continues";
  BH_TRY(const auto choice, choose(*lease.taken_, wanted));
  BH_TRY(lease.tail_, choice.tail(wanted, engine_->tokenizer()));
  if (choice.tokens == held) return {};
  lease.reuse_.reason = "cut";
  lease.reuse_.first_difference = choice.tokens;
  return cut(lease, choice.tokens);
}

Result<Conversations::Choice> Conversations::choose(const Conversation& conversation, const Wanted& wanted) const {
  auto choice = Choice::of(conversation, wanted, engine_->tokenizer());
  BH_CHECK(choice.refine(conversation.partition->ledger().tokens, wanted, engine_->tokenizer()));
  return choice;
}

// The longest history, or else the most tokens; of equals the one used last: the others may go. `continued`: how many
// hold that history.
Conversations::Held Conversations::nearest(const Owner& owner, const Identity& identity, const Wanted& wanted,
                                           std::size_t& continued) const {
  Held best;
  Choice its;
  for (const auto& one : owner.all) {
    if (one->in_use() || !one->identity.partition.empty() || one->identity.scope() != identity.scope()) continue;
    const auto choice = Choice::of(*one, wanted, engine_->tokenizer());
    if (!choice.continues && choice.tokens == 0) continue;
    // The same text may have been drawn in more tokens or fewer, which says nothing.
    const bool by_text = choice.bytes > 0 && its.bytes > 0;
    const auto size = by_text ? choice.bytes : choice.tokens;
    const auto its_size = by_text ? its.bytes : its.tokens;
    const bool is_equal = best && choice.continues == its.continues && size == its_size;
    if (best && !is_equal && (choice.continues != its.continues ? its.continues : size < its_size)) continue;
    if (choice.continues) continued = is_equal ? continued + 1 : 1;
    if (is_equal && one->used < best->used) continue;
    best = one;
    its = choice;
  }
  return best;
}

Result<Conversations::Lease> Conversations::take_by_history(std::unique_lock<std::mutex>& lock, Owner& owner,
                                                            const Identity& identity, const Wanted& wanted,
                                                            const std::stop_token& cancel) {
  for (;;) {
    std::size_t continued = 0;
    const auto source = nearest(owner, identity, wanted, continued);
    const auto ahead = continued == 0 ? leader(owner, identity, wanted, source) : nullptr;
    if (!ahead) return go_on_or_open(owner, identity, wanted, source, continued);
    BH_TRY(auto lease, follow(lock, owner, ahead, wanted, cancel));
    if (lease) return *std::move(lease);
  }
}

Result<Conversations::Lease> Conversations::go_on_or_open(Owner& owner, const Identity& identity, const Wanted& wanted,
                                                          const Held& source, std::size_t continued) {
  if (source) {
    BH_TRY(const auto choice, choose(*source, wanted));
    BH_TRY(auto tail, choice.tail(wanted, engine_->tokenizer()));
    Reuse reuse{.reason = continued == 1 ? "continues" : "forked"};
    if (!choice.continues && choice.tokens < wanted.tokens.size()) reuse.first_difference = choice.tokens;
    Held held = continued == 1 ? source : nullptr;
    const auto before = held ? source->partition->ledger().prefilled_tokens : 0;
    if (!held) {
      source->busy = true;  // make_room() must not close it
      auto made = make_room(owner).ok() ? fork_of(*source, choice.tokens) : Result<Held>(Held());
      source->busy = false;
      if (!made.ok() && made.error().code != ErrorCode::kResource) return made.error();
      if (made.ok()) held = std::move(made).value();
      if (held && choice.bytes == 0) held->coming = wanted.tokens;
    }
    if (held) {
      held->busy = true;
      Lease lease(std::move(held));
      lease.reuse_ = std::move(reuse);
      lease.prefilled_before_ = before;
      lease.tail_ = std::move(tail);
      return lease;
    }
  }
  // There is nothing to go on with, or no room beside it.
  BH_TRY(auto made, open(owner, identity));
  made->coming = wanted.tokens;
  Lease lease(std::move(made));
  lease.reuse_.reason = "new";
  lease.wants_all(wanted);
  return lease;
}

Result<Conversations::Lease> Conversations::fork(const Lease& source, const std::string& name) {
  auto& owner = *source.taken_->owner;
  const std::lock_guard lock(owner.mutex);
  if (!name.empty() && owner.find(name)) return name_taken(name);
  BH_CHECK(make_room(owner));
  BH_TRY(auto made, fork_of(*source.taken_, source.partition().ledger().tokens.size(), name));
  return Lease(std::move(made));
}

Conversations::Held Conversations::Owner::find(const std::string& id_or_name) const {
  const auto found = std::find_if(all.begin(), all.end(), [&](const Held& one) {
    return one->id == id_or_name || (!id_or_name.empty() && one->identity.partition == id_or_name);
  });
  return found == all.end() ? nullptr : *found;
}

void Conversations::Owner::give_back(const Held& held) {
  const std::lock_guard lock(mutex);
  held->show();
  held->used = Clock::now();
  held->busy = false;
  held->coming.reset();
  for (auto* follower : std::exchange(held->followers, {})) follower->told = true;
  // One that holds nothing is of no use to anybody, unless it has a name.
  if (held->broken || (held->inspected.shown.tokens == 0 && held->identity.partition.empty())) {
    held->broken = true;
    std::erase(all, held);
  }
  given_back.notify_all();
}

}  // namespace bulkhead::serve
