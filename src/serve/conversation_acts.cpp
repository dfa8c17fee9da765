// SPDX-License-Identifier: MIT
// What an owner does with partitions by name or id: declare, fork, cut, remove, look at, send from.
#include "serve/conversations_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace bulkhead::serve {
namespace {

constexpr std::size_t kLongestPartitionName = 256;

Error is_in_use() {
  return {ErrorCode::kClosed, "the partition is in use", {}, {}};
}

// An id is no name.
Result<void> check_name(const std::string& name) {
  if (!name.empty() && name.size() <= kLongestPartitionName && !is_partition_id(name)) return {};
  return Error{ErrorCode::kBadInput,
               fmt::format("a name has 1 to {} bytes, and is not 'p-' and a number", kLongestPartitionName),
               {},
               {}};
}

}  // namespace

Result<Conversations::Lease> Conversations::declare(const std::string& owner, const Identity& identity) {
  BH_CHECK(check_name(identity.partition));
  auto& asker = owner_of(owner);
  const std::lock_guard lock(asker.mutex);
  if (asker.find(identity.partition)) {
    return name_taken(identity.partition);
  }
  BH_TRY(auto made, open(asker, identity));
  return Lease(std::move(made));
}

Result<Conversations::Lease> Conversations::hold(const std::string& owner, const std::string& name,
                                                 const std::stop_token& cancel) {
  auto& asker = owner_of(owner);
  std::unique_lock lock(asker.mutex);
  BH_TRY(auto held, wait_for(lock, asker, name, cancel));
  if (!held) return no_such_partition();
  return Lease(std::move(held));
}

Result<Conversations::Lease> Conversations::hold_idle(const std::string& owner, const std::string& name) {
  auto& asker = owner_of(owner);
  const std::lock_guard lock(asker.mutex);
  auto held = asker.find(name);
  if (!held) return no_such_partition();
  if (held->in_use()) return is_in_use();
  held->busy = true;
  return Lease(std::move(held));
}

Result<void> Conversations::check_room(const Lease& source, const std::vector<std::string>& names) const {
  const auto& owner = *source.taken_->owner;
  const std::lock_guard lock(source.taken_->owner->mutex);
  std::set<std::string> fresh;
  for (const auto& name : names) {
    if (name.empty()) continue;
    BH_CHECK(check_name(name));
    if (owner.find(name) || !fresh.insert(name).second) {
      return name_taken(name);
    }
  }
  const auto stay = std::count_if(owner.all.begin(), owner.all.end(),
                                  [](const Held& one) { return one->in_use() || !one->identity.partition.empty(); });
  if (static_cast<std::uint64_t>(stay) + names.size() <= limits_.partitions) return {};
  return Error{ErrorCode::kResource,
               fmt::format("of {} partitions {} are named or in use", limits_.partitions, stay),
               {},
               "delete some, or wait"};
}

Result<Conversations::Lease> Conversations::fork_up_to(const Lease& source, const Wanted& wanted,
                                                       const std::string& name) {
  BH_TRY(const auto choice, choose(*source.taken_, wanted));
  BH_TRY(auto tail, choice.tail(wanted, engine_->tokenizer()));
  auto& owner = *source.taken_->owner;
  const std::lock_guard lock(owner.mutex);
  BH_CHECK(make_room(owner));
  BH_TRY(auto made, fork_of(*source.taken_, choice.tokens, name));
  Lease lease(std::move(made));
  lease.tail_ = std::move(tail);
  return lease;
}

Result<void> Conversations::cut_up_to(Lease& lease, const Wanted& wanted) const {
  BH_TRY(const auto choice, choose(*lease.taken_, wanted));
  BH_TRY(lease.tail_, choice.tail(wanted, engine_->tokenizer()));
  lease.prefilled_before_ = lease.partition().ledger().prefilled_tokens;
  return cut(lease, choice.tokens);
}

Result<void> Conversations::cut(const Lease& lease, std::uint64_t tokens) const {
  auto& partition = *lease.taken_->partition;
  if (tokens == partition.ledger().tokens.size()) return {};
  const auto done = partition.truncate(tokens);
  if (done.ok()) {
    lease.taken_->shortened(tokens);
  } else if (done.error().code != ErrorCode::kBadInput) {
    lease.give_up();
  }
  return done;
}

Result<void> Conversations::remove(const std::string& owner, const std::string& name) {
  auto& asker = owner_of(owner);
  const std::lock_guard lock(asker.mutex);
  const auto held = asker.find(name);
  if (!held) return no_such_partition();
  if (held->in_use()) return is_in_use();
  std::erase(asker.all, held);
  return {};
}

std::vector<Shown> Conversations::list(const std::string& owner) const {
  auto& asker = owner_of(owner);
  const std::lock_guard lock(asker.mutex);
  std::vector<Shown> shown;
  for (const auto& one : asker.all) shown.push_back(one->seen().shown);
  return shown;
}

std::optional<Inspected> Conversations::find(const std::string& owner, const std::string& name) const {
  auto& asker = owner_of(owner);
  const std::lock_guard lock(asker.mutex);
  const auto held = asker.find(name);
  return held ? std::optional(held->seen()) : std::nullopt;
}

std::optional<Message> Conversations::output(const std::string& owner, const std::string& name,
                                             std::optional<std::uint64_t> turn) const {
  auto& asker = owner_of(owner);
  const std::lock_guard lock(asker.mutex);
  const auto held = asker.find(name);
  if (!held) return std::nullopt;
  const auto& answers = held->shown_answers;
  if (!turn) {  // the last answer, and not one before it
    const auto& messages = held->inspected.messages;
    const bool is_last =
        !answers.empty() && std::none_of(messages.begin() + static_cast<std::ptrdiff_t>(answers.back().messages),
                                         messages.end(), [](const auto& one) { return one.role == "assistant"; });
    return is_last ? answers.back().output : std::nullopt;
  }
  for (const auto& answer : answers) {
    if (answer.messages == *turn + 1) return answer.output;
  }
  return std::nullopt;
}

}  // namespace bulkhead::serve
