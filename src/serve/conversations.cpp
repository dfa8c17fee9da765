// SPDX-License-Identifier: MIT
#include "serve/conversations.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <utility>

namespace bulkhead::serve {

using conversation::TracedTokens;

struct Conversations::Conversation {
  std::string id;
  Owner* owner;
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

struct Conversations::Owner {
  std::string name;
  std::mutex mutex = {};  // of what follows, and of what conversations show
  std::condition_variable_any given_back = {};
  std::vector<Held> all = {};
  std::uint64_t waited = 0;  // how many came to wait so far

  void give_back(const Held& held);
};

namespace {

std::uint64_t common_tokens(const TracedTokens& one, const TracedTokens& other) {
  const auto end = std::min(one.tokens.size(), other.tokens.size());
  const auto differ =
      std::mismatch(one.tokens.begin(), one.tokens.begin() + static_cast<std::ptrdiff_t>(end), other.tokens.begin());
  return static_cast<std::uint64_t>(differ.first - one.tokens.begin());
}

bool is_beginning(const std::vector<engine::ChatMessage>& first, const std::vector<engine::ChatMessage>& all) {
  // Calls are the same whatever their ids, which templates rarely tell: what they tell is compared as text.
  const auto same_call = [](const auto& a, const auto& b) {
    return a.name == b.name && prompt::normal_json(a.arguments) == prompt::normal_json(b.arguments);
  };
  const auto same = [&](const auto& a, const auto& b) {
    return a.role == b.role && a.content == b.content && std::ranges::equal(a.calls, b.calls, same_call);
  };
  return first.size() < all.size() && std::equal(first.begin(), first.end(), all.begin(), same);
}

std::optional<std::size_t> held_bytes(const prompt::ChatLog& log, const Wanted& wanted,
                                      const engine::Tokenizer& tokenizer) {
  if (log.messages.back().calls.empty()) return log.held_of(wanted.rendered, tokenizer);
  const auto beginning = wanted.beginning ? wanted.beginning(log.messages.size()) : std::nullopt;
  return beginning ? log.held_of_calls(wanted.rendered, *beginning, tokenizer) : std::nullopt;
}

}  // namespace

// What a conversation already holds of what is wanted: the same history, or the same first tokens.
struct Conversations::Choice {
  bool continues = false;
  std::uint64_t tokens = 0;
  std::size_t bytes = 0;  // of the rendering, where a chat continues

  static Choice of(const Conversation& conversation, const Wanted& wanted, const engine::Tokenizer& tokenizer) {
    const auto& held = conversation.partition->ledger().tokens;
    Choice choice{.tokens = common_tokens(held, wanted.tokens)};
    if (wanted.messages.empty()) {
      choice.continues = conversation.raw && choice.tokens == held.size() && held.size() < wanted.tokens.size();
    } else if (conversation.log.answered && is_beginning(conversation.log.messages, wanted.messages)) {
      const auto bytes = held_bytes(conversation.log, wanted, tokenizer);
      choice.continues = bytes && *bytes < wanted.rendered.size();
      if (choice.continues) choice = {.continues = true, .tokens = held.size(), .bytes = *bytes};
    }
    return choice;
  }

  // What is missing.
  [[nodiscard]] Result<TracedTokens> tail(const Wanted& wanted, const engine::Tokenizer& tokenizer) const {
    return bytes > 0 ? prompt::tokens_of(wanted.parts, bytes, tokenizer)
                     : wanted.tokens.slice(tokens, wanted.tokens.size());
  }
};

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

partition::Partition& Conversations::Lease::partition() const {
  return *taken_->partition;
}

const std::string& Conversations::Lease::id() const {
  return taken_->id;
}

void Conversations::Lease::prefilled(const Wanted& wanted) {
  const auto& ledger = partition().ledger();
  reuse_.tokens = ledger.tokens.size() - (ledger.prefilled_tokens - prefilled_before_);
  taken_->raw = wanted.messages.empty();
  taken_->log = {.messages = wanted.messages, .rendered = wanted.rendered};
}

void Conversations::Lease::answered(const engine::AnswerParts& answer, std::optional<engine::Token> end) const {
  if (!taken_->raw) taken_->log.note_answer(answer, end);
}

void Conversations::Lease::give_up() const {
  taken_->broken = true;
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
    if ((*one)->busy || !(*one)->identity.partition.empty()) continue;
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

Result<Conversations::Held> Conversations::fork_of(const Conversation& source, std::uint64_t tokens) {
  auto made =
      std::make_shared<Conversation>(Conversation{.id = new_id(), .owner = source.owner, .identity = source.identity});
  made->identity.partition.clear();
  BH_TRY(made->partition,
         source.partition->fork(made->id, static_cast<std::uint32_t>(tokens), options_of(*source.owner)));
  source.owner->all.push_back(made);
  return made;
}

Result<Conversations::Lease> Conversations::take(const std::string& owner, const Identity& identity,
                                                 const Wanted& wanted, const std::stop_token& cancel) {
  auto& taker = owner_of(owner);
  std::unique_lock lock(taker.mutex);
  return identity.partition.empty() ? take_by_history(taker, identity, wanted)
                                    : take_named(lock, taker, identity, wanted, cancel);
}

Result<Conversations::Lease> Conversations::take_named(std::unique_lock<std::mutex>& lock, Owner& owner,
                                                       const Identity& identity, const Wanted& wanted,
                                                       const std::stop_token& cancel) {
  const auto number = ++owner.waited;
  for (;;) {
    const auto found = std::find_if(owner.all.begin(), owner.all.end(),
                                    [&](const Held& one) { return one->identity.partition == identity.partition; });
    if (found == owner.all.end()) {
      BH_TRY(auto made, open(owner, identity));
      Lease lease(std::move(made));
      lease.reuse_.reason = "new";
      lease.tail_ = wanted.tokens;
      return lease;
    }
    const auto held = *found;
    if (held->busy) {
      held->waiting.push_back(number);
      const auto is_mine = [&] { return held->broken || (!held->busy && held->waiting.front() == number); };
      const bool mine = owner.given_back.wait(lock, cancel, is_mine);
      std::erase(held->waiting, number);
      if (!mine) {
        owner.given_back.notify_all();
        return Error{ErrorCode::kInterrupted, "stopped while waiting for its partition", identity.partition, {}};
      }
      if (held->broken) continue;
    }
    held->busy = true;
    lock.unlock();  // cutting may compute
    Lease lease(held);
    BH_CHECK(fit(lease, wanted));
    return lease;
  }
}

// A named partition holds what is wanted and nothing else: what differs is cut off.
Result<void> Conversations::fit(Lease& lease, const Wanted& wanted) const {
  auto& partition = *lease.taken_->partition;
  const auto held = partition.ledger().tokens.size();
  const auto choice = Choice::of(*lease.taken_, wanted, engine_->tokenizer());
  lease.prefilled_before_ = partition.ledger().prefilled_tokens;
  lease.reuse_.reason = held == 0 ? "new" : "continues";
  BH_TRY(lease.tail_, choice.tail(wanted, engine_->tokenizer()));
  if (choice.tokens == held) return {};
  lease.reuse_.reason = "cut";
  lease.reuse_.first_difference = choice.tokens;
  lease.taken_->log = {};
  const auto cut = partition.truncate(choice.tokens);
  if (!cut.ok()) lease.give_up();
  return cut;
}

Result<Conversations::Lease> Conversations::take_by_history(Owner& owner, const Identity& identity,
                                                            const Wanted& wanted) {
  std::optional<std::pair<Held, Choice>> nearest;  // of equals the one used last: the others may go
  std::size_t continued = 0;
  const auto is_nearer = [&](const Held& one, const Choice& choice) {
    if (!nearest) return choice.continues || choice.tokens > 0;
    const auto& [best, its] = *nearest;
    if (choice.continues != its.continues) return choice.continues;
    return choice.tokens != its.tokens ? choice.tokens > its.tokens : one->used > best->used;
  };
  for (const auto& one : owner.all) {
    if (one->busy || !one->identity.partition.empty() || one->identity.scope() != identity.scope()) continue;
    const auto choice = Choice::of(*one, wanted, engine_->tokenizer());
    continued += choice.continues ? 1U : 0U;
    if (is_nearer(one, choice)) nearest.emplace(one, choice);
  }
  Held held;
  Reuse reuse{.reason = "new"};
  TracedTokens tail;
  std::uint64_t before = 0;
  if (nearest) {
    const auto& [source, choice] = *nearest;
    BH_TRY(tail, choice.tail(wanted, engine_->tokenizer()));
    reuse.reason = continued == 1 ? "continues" : "forked";
    if (!choice.continues && choice.tokens < wanted.tokens.size()) reuse.first_difference = choice.tokens;
    if (continued == 1) {
      held = source;
      before = source->partition->ledger().prefilled_tokens;
    } else {
      source->busy = true;  // make_room() must not close it
      auto made = make_room(owner).ok() ? fork_of(*source, choice.tokens) : Result<Held>(Held());
      source->busy = false;
      if (!made.ok() && made.error().code != ErrorCode::kResource) return made.error();
      if (made.ok()) held = std::move(made).value();
    }
  }
  if (!held) {  // there is nothing to go on with, or no room beside it
    BH_TRY(held, open(owner, identity));
    reuse = {.reason = "new"};
    tail = wanted.tokens;
  }
  held->busy = true;
  Lease lease(held);
  lease.tail_ = std::move(tail);
  lease.reuse_ = std::move(reuse);
  lease.prefilled_before_ = before;
  return lease;
}

Result<Conversations::Lease> Conversations::fork(const Lease& source) {
  auto& owner = *source.taken_->owner;
  const std::lock_guard lock(owner.mutex);
  BH_CHECK(make_room(owner));
  BH_TRY(auto made, fork_of(*source.taken_, source.partition().ledger().tokens.size()));
  made->log = source.taken_->log;
  made->raw = source.taken_->raw;
  return Lease(std::move(made));
}

void Conversations::Owner::give_back(const Held& held) {
  const std::lock_guard lock(mutex);
  const auto& ledger = held->partition->ledger();
  held->shown = {.turns = held->log.messages.size(),
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
    std::erase(all, held);
  }
  given_back.notify_all();
}

std::vector<Shown> Conversations::list(const std::string& owner) const {
  auto& asker = owner_of(owner);
  const std::lock_guard lock(asker.mutex);
  std::vector<Shown> shown;
  for (const auto& one : asker.all) {
    shown.push_back(one->shown);
    shown.back().id = one->id;
    shown.back().name = one->identity.partition;
    shown.back().session = one->identity.session;
    shown.back().agent = one->identity.agent;
    shown.back().busy = one->busy;
  }
  return shown;
}

std::optional<Shown> Conversations::find(const std::string& owner, const std::string& id) const {
  for (auto& one : list(owner)) {
    if (one.id == id || (!one.name.empty() && one.name == id)) return std::move(one);
  }
  return std::nullopt;
}

Result<void> Conversations::remove(const std::string& owner, const std::string& id) {
  auto& asker = owner_of(owner);
  const std::lock_guard lock(asker.mutex);
  const auto found = std::find_if(asker.all.begin(), asker.all.end(), [&](const Held& one) {
    return one->id == id || (!one->identity.partition.empty() && one->identity.partition == id);
  });
  if (found == asker.all.end()) return Error{ErrorCode::kUsage, "there is no such partition", {}, {}};
  if ((*found)->busy) return Error{ErrorCode::kClosed, "the partition is in use", {}, {}};
  asker.all.erase(found);
  return {};
}

}  // namespace bulkhead::serve
