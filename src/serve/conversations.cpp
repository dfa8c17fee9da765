// SPDX-License-Identifier: MIT
#include "serve/conversations.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::serve {

using conversation::TracedTokens;

struct Conversations::Conversation {
  std::string id;
  std::string owner;
  Identity identity;
  std::optional<partition::Partition> partition;
  prompt::ChatLog log = {};
  bool raw = false;     // holds a completion's tokens, not a chat
  bool broken = false;  // to be closed when it is given back
  bool busy = true;
  std::deque<std::uint64_t> waiting = {};  // numbers of those who want it next, in the order they came
  Clock::time_point used = Clock::now();
  Shown shown = {};
};

namespace {

std::uint64_t common_tokens(const TracedTokens& one, const TracedTokens& other) {
  const auto end = std::min(one.tokens.size(), other.tokens.size());
  const auto differ =
      std::mismatch(one.tokens.begin(), one.tokens.begin() + static_cast<std::ptrdiff_t>(end), other.tokens.begin());
  return static_cast<std::uint64_t>(differ.first - one.tokens.begin());
}

bool is_beginning(const std::vector<engine::ChatMessage>& first, const std::vector<engine::ChatMessage>& all) {
  const auto same = [](const auto& a, const auto& b) { return a.role == b.role && a.content == b.content; };
  return first.size() < all.size() && std::equal(first.begin(), first.end(), all.begin(), same);
}

}  // namespace

// What a conversation already holds of what is wanted: as the same history, or as the same first tokens.
struct Conversations::Choice {
  bool continues = false;
  std::uint64_t tokens = 0;
  TracedTokens tail = {};

  static Choice of(const Conversation& conversation, const Wanted& wanted, const engine::Tokenizer& tokenizer) {
    const auto& held = conversation.partition->ledger().tokens;
    Choice choice{.tokens = common_tokens(held, wanted.tokens)};
    if (wanted.messages.empty()) {
      choice.continues = conversation.raw && choice.tokens == held.size() && held.size() < wanted.tokens.size();
    } else if (!conversation.raw && conversation.log.answered &&
               is_beginning(conversation.log.messages, wanted.messages)) {
      const auto bytes = conversation.log.held_of(wanted.rendered, tokenizer);
      auto tail = bytes ? prompt::tokens_of(wanted.parts, *bytes, tokenizer) : Result<TracedTokens>(TracedTokens());
      choice.continues = bytes && tail.ok() && tail.value().size() > 0;
      if (choice.continues) {
        choice.tokens = held.size();
        choice.tail = std::move(tail).value();
        return choice;
      }
    }
    choice.tail = wanted.tokens.slice(choice.tokens, wanted.tokens.size());
    return choice;
  }
};

Conversations::Lease::~Lease() {
  if (taken_) all_->give_back(taken_);
}

partition::Partition& Conversations::Lease::partition() const {
  return *taken_->partition;
}

const std::string& Conversations::Lease::id() const {
  return taken_->id;
}

void Conversations::Lease::prefilled(const Wanted& wanted) const {
  taken_->raw = wanted.messages.empty();
  taken_->log = {.messages = wanted.messages, .rendered = wanted.rendered};
}

void Conversations::Lease::answered(const std::string& text, std::optional<engine::Token> end) const {
  if (!taken_->raw) taken_->log.note_answer(text, end);
}

void Conversations::Lease::give_up() const {
  taken_->broken = true;
}

engine::OpenOptions Conversations::options_of(const std::string& owner) const {
  return {.capacity_tokens = engine_->facts().context_tokens, .owner = owner};
}

std::string Conversations::new_id() {
  return fmt::format("p-{}", ++opened_);
}

// The partition used longest ago goes, if nobody gave it a name.
Result<void> Conversations::make_room(const std::string& owner) {
  auto& own = by_owner_[owner];
  if (own.size() < limits_.partitions) return {};
  auto oldest = own.end();
  for (auto one = own.begin(); one != own.end(); ++one) {
    if ((*one)->busy || !(*one)->identity.partition.empty() || !(*one)->waiting.empty()) continue;
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

Result<Conversations::Held> Conversations::open(const std::string& owner, const Identity& identity) {
  BH_CHECK(make_room(owner));
  auto made = std::make_shared<Conversation>();
  made->id = new_id();
  made->owner = owner;
  made->identity = identity;
  BH_TRY(made->partition, partition::Partition::open(*engine_, made->id, options_of(owner)));
  by_owner_[owner].push_back(made);
  return made;
}

Result<Conversations::Held> Conversations::fork_of(const Conversation& source, std::uint64_t tokens) {
  auto made = std::make_shared<Conversation>();
  made->id = new_id();
  made->owner = source.owner;
  made->identity = source.identity;
  made->identity.partition.clear();
  BH_TRY(made->partition,
         source.partition->fork(made->id, static_cast<std::uint32_t>(tokens), options_of(source.owner)));
  by_owner_[source.owner].push_back(made);
  return made;
}

Result<Conversations::Lease> Conversations::take(const std::string& owner, const Identity& identity,
                                                 const Wanted& wanted, const std::stop_token& cancel) {
  std::unique_lock lock(mutex_);
  return identity.partition.empty() ? take_by_history(owner, identity, wanted)
                                    : take_named(lock, owner, identity, wanted, cancel);
}

Result<Conversations::Lease> Conversations::take_named(std::unique_lock<std::mutex>& lock, const std::string& owner,
                                                       const Identity& identity, const Wanted& wanted,
                                                       const std::stop_token& cancel) {
  const auto number = ++opened_;  // any that grows
  for (;;) {
    const auto& own = by_owner_[owner];
    const auto found = std::find_if(own.begin(), own.end(),
                                    [&](const Held& one) { return one->identity.partition == identity.partition; });
    if (found == own.end()) {
      BH_TRY(auto made, open(owner, identity));
      Lease lease(*this, std::move(made));
      lease.reuse_ = {.tokens = 0, .reason = "new"};
      lease.tail_ = wanted.tokens;
      return lease;
    }
    const auto held = *found;
    if (held->busy) {
      held->waiting.push_back(number);
      const auto is_mine = [&] { return held->broken || (!held->busy && held->waiting.front() == number); };
      const bool mine = given_back_.wait(lock, cancel, is_mine);
      std::erase(held->waiting, number);
      if (!mine) {
        given_back_.notify_all();
        return Error{ErrorCode::kInterrupted, "stopped while waiting for its partition", identity.partition, {}};
      }
      if (held->broken) continue;
    }
    held->busy = true;
    lock.unlock();  // cutting may compute
    Lease lease(*this, held);
    BH_CHECK(fit(lease, wanted));
    return lease;
  }
}

// A named partition holds what is wanted and nothing else: what differs is cut off.
Result<void> Conversations::fit(Lease& lease, const Wanted& wanted) const {
  auto& partition = *lease.taken_->partition;
  const auto held = partition.ledger().tokens.size();
  auto choice = Choice::of(*lease.taken_, wanted, engine_->tokenizer());
  lease.reuse_ = {.tokens = choice.tokens, .reason = held == 0 ? "new" : "continues"};
  if (choice.tokens < held) {
    lease.reuse_.reason = "cut";
    lease.reuse_.first_difference = choice.tokens;
    const auto cut = partition.truncate(choice.tokens);
    if (!cut.ok()) {
      lease.give_up();
      return cut.error();
    }
    lease.taken_->log = {};
  }
  lease.tail_ = std::move(choice.tail);
  return {};
}

Result<Conversations::Lease> Conversations::take_by_history(const std::string& owner, const Identity& identity,
                                                            const Wanted& wanted) {
  std::vector<std::pair<Held, Choice>> continued;
  std::optional<std::pair<Held, Choice>> nearest;  // of equals the one used last: the others may go
  const auto is_nearer = [&](const Held& one, const Choice& choice) {
    if (!nearest || choice.tokens != nearest->second.tokens) {
      return choice.tokens > (nearest ? nearest->second.tokens : 0);
    }
    return one->used > nearest->first->used;
  };
  for (const auto& one : by_owner_[owner]) {
    if (one->busy || !one->identity.partition.empty() || one->identity.scope() != identity.scope()) continue;
    auto choice = Choice::of(*one, wanted, engine_->tokenizer());
    if (choice.continues) {
      continued.emplace_back(one, std::move(choice));
    } else if (is_nearer(one, choice)) {
      nearest.emplace(one, std::move(choice));
    }
  }
  const bool forks = continued.size() != 1;
  if (!continued.empty()) nearest = std::move(continued.front());
  Reuse reuse{.tokens = 0, .reason = "new"};
  Held held;
  if (nearest) {
    auto& [source, choice] = *nearest;
    reuse = {.tokens = choice.tokens, .reason = forks ? "forked" : "continues"};
    if (continued.empty() && choice.tokens < wanted.tokens.size()) reuse.first_difference = choice.tokens;
    held = source;
    if (forks) {
      source->busy = true;  // make_room() must not close it
      auto made = make_room(owner).ok() ? fork_of(*source, choice.tokens) : Result<Held>(Held());
      source->busy = false;
      if (!made.ok() && made.error().code != ErrorCode::kResource) return made.error();
      held = made.ok() ? std::move(made).value() : nullptr;
      if (held && !continued.empty()) held->log = source->log;
    }
  }
  if (!held) {
    BH_TRY(held, open(owner, identity));
    reuse = {.tokens = 0, .reason = "new"};
    nearest.reset();
  }
  held->busy = true;
  Lease lease(*this, held);
  lease.tail_ = nearest ? std::move(nearest->second.tail) : wanted.tokens;
  lease.reuse_ = std::move(reuse);
  return lease;
}

Result<Conversations::Lease> Conversations::fork(const Lease& source) {
  const std::lock_guard lock(mutex_);
  BH_CHECK(make_room(source.taken_->owner));
  BH_TRY(auto made, fork_of(*source.taken_, source.partition().ledger().tokens.size()));
  made->log = source.taken_->log;
  made->raw = source.taken_->raw;
  Lease lease(*this, std::move(made));
  lease.reuse_ = source.reuse_;
  return lease;
}

void Conversations::give_back(const Held& held) {
  const std::lock_guard lock(mutex_);
  const auto& ledger = held->partition->ledger();
  held->shown = {.id = held->id,
                 .name = held->identity.partition,
                 .session = held->identity.session,
                 .agent = held->identity.agent,
                 .turns = held->log.messages.size(),
                 .tokens = ledger.tokens.size(),
                 .prefilled_tokens = ledger.prefilled_tokens,
                 .reused_tokens = ledger.reused_tokens,
                 .generated_tokens = ledger.generated_tokens,
                 .messages_received = ledger.messages.size(),
                 .token_sha256 = ledger.token_sha256()};
  held->used = Clock::now();
  held->busy = false;
  // One that holds nothing is of no use to anybody, unless it has a name.
  if (held->broken || (held->shown.tokens == 0 && held->identity.partition.empty())) {
    held->broken = true;
    std::erase(by_owner_[held->owner], held);
  }
  given_back_.notify_all();
}

std::vector<Shown> Conversations::list(const std::string& owner) const {
  const std::lock_guard lock(mutex_);
  std::vector<Shown> all;
  const auto own = by_owner_.find(owner);
  if (own == by_owner_.end()) return all;
  for (const auto& one : own->second) {
    auto shown = one->shown;
    shown.id = one->id;
    shown.name = one->identity.partition;
    shown.session = one->identity.session;
    shown.agent = one->identity.agent;
    shown.busy = one->busy;
    all.push_back(std::move(shown));
  }
  return all;
}

std::optional<Shown> Conversations::find(const std::string& owner, const std::string& id) const {
  for (auto& one : list(owner)) {
    if (one.id == id || (!one.name.empty() && one.name == id)) return std::move(one);
  }
  return std::nullopt;
}

Result<void> Conversations::remove(const std::string& owner, const std::string& id) {
  const std::lock_guard lock(mutex_);
  auto& own = by_owner_[owner];
  const auto found = std::find_if(own.begin(), own.end(), [&](const Held& one) {
    return one->id == id || (!one->identity.partition.empty() && one->identity.partition == id);
  });
  if (found == own.end()) return Error{ErrorCode::kUsage, "there is no such partition", {}, {}};
  if ((*found)->busy) return Error{ErrorCode::kClosed, "the partition is in use", {}, {}};
  own.erase(found);
  return {};
}

}  // namespace bulkhead::serve
