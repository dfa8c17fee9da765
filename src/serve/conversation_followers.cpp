// SPDX-License-Identifier: MIT
// Requests that come together and begin alike: one of them has the beginning computed, the others wait and are forked.
// Nobody waits for long: an owner's prompts are computed one after the other anyway (desk/core.h).
#include "serve/conversations_impl.h"

#include <algorithm>
#include <utility>

namespace bulkhead::serve {
namespace {

constexpr std::uint64_t kWorthWaiting = 64;  // tokens that need not be computed

}  // namespace

// The one that is computing clearly more of what is wanted than `source`, or null, holds; null: there is none, or the
// model has a sliding window, where a fork may have to be computed anew, in one go while all others stand still.
Conversations::Held Conversations::leader(const Owner& owner, const Identity& identity, const Wanted& wanted,
                                          const Held& source) const {
  if (engine_->facts().window_tokens > 0) return nullptr;
  auto most = kWorthWaiting - 1;
  if (source) most += Choice::of(*source, wanted, engine_->tokenizer()).tokens;
  Held best;
  for (const auto& one : owner.all) {
    if (!one->identity.partition.empty() || one->identity.scope() != identity.scope()) continue;
    const auto coming = one->coming_of(wanted);
    if (coming <= most) continue;
    best = one;
    most = coming;
  }
  return best;
}

// nullopt: what it computes did not come, or could not be forked.
Result<std::optional<Conversations::Lease>> Conversations::follow(std::unique_lock<std::mutex>& lock, Owner& owner,
                                                                  const Held& leader, const Wanted& wanted,
                                                                  const std::stop_token& cancel) const {
  Follower follower{.wanted = &wanted};
  leader->followers.push_back(&follower);
  if (owner.given_back.wait(lock, cancel, [&] { return follower.told; })) return std::move(follower.lease);
  std::erase(leader->followers, &follower);
  return Error{ErrorCode::kInterrupted, "stopped while waiting for another request's prompt", {}, {}};
}

Result<Conversations::Lease> Conversations::fork_for(const Conversation& source, const Wanted& wanted) {
  BH_TRY(const auto choice, choose(source, wanted));
  BH_TRY(auto tail, choice.tail(wanted, engine_->tokenizer()));
  BH_CHECK(make_room(*source.owner));
  BH_TRY(auto made, fork_of(source, choice.tokens));
  made->coming = wanted.tokens;
  Lease lease(std::move(made));
  lease.reuse_.reason = "forked";
  if (choice.tokens < wanted.tokens.size()) lease.reuse_.first_difference = choice.tokens;
  lease.tail_ = std::move(tail);
  return lease;
}

void Conversations::share(const Lease& lease) {
  auto& source = *lease.taken_;
  {
    const std::lock_guard lock(source.owner->mutex);
    source.coming.reset();
    for (auto* follower : std::exchange(source.followers, {})) {
      auto made = fork_for(source, *follower->wanted);
      if (made.ok()) follower->lease.emplace(std::move(made).value());
      follower->told = true;
    }
  }
  source.owner->given_back.notify_all();
}

}  // namespace bulkhead::serve
