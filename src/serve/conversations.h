// SPDX-License-Identifier: MIT
// The conversations of all owners, each in a partition of its own, and which of them a request goes on with. By order:
//   1. the partition that the request names;
//   2. exact history: of the owner's partitions in this scope (identity.h) that nobody uses, the one whose chat is the
//      beginning of the request's, turn by turn; where several are, one is forked;
//   3. a new partition, forked where another of the same owner and scope holds the same first tokens. Where the longest
//      such beginning is just being computed, the request waits for it: agents that start together with one system
//      prompt have it computed once.
// Never one that is merely similar. What was drawn stays as it was drawn: where history is the same text, the tokens in
// the cache stand.
//
// Thread rule: any thread. Owners do not wait for each other, but for the engine.
#pragma once

#include "conversation/traced_tokens.h"
#include "desk/desk.h"
#include "engine/engine.h"
#include "partition/partition.h"
#include "prompt/chat_log.h"
#include "serve/identity.h"
#include "serve/wanted.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace bulkhead::serve {

// What was there already, and why no more.
struct Reuse {
  std::uint64_t tokens = 0;
  std::string reason = {};                             // "continues", "forked", "cut", "new"
  std::optional<std::uint64_t> first_difference = {};  // the token from which on the nearest partition holds others
};

// What a partition shows of itself when nobody uses it; counts as in its ledger.
struct Shown {
  std::string id = {};
  std::string forked_from = {};  // the id of another; empty: none
  std::string name = {};         // that the client declared; empty: none
  std::string session = {};
  std::string agent = {};
  std::string cluster = {};
  bool busy = false;
  std::uint64_t waiting = 0;  // requests that want it next
  std::uint64_t turns = 0;
  std::uint64_t tokens = 0;
  std::uint64_t prefilled_tokens = 0;
  std::uint64_t reused_tokens = 0;
  std::uint64_t generated_tokens = 0;
  std::uint64_t messages_received = 0;
  std::string token_sha256 = {};
  desk::CellsAt cells = {};  // as the desk says when it is asked (serve/service.h)
};

// What a wanted chat still misses, and the messages of other partitions among it.
struct Tail {
  conversation::TracedTokens tokens = {};
  std::vector<partition::Arrival> arrivals = {};
};

// A message that it holds.
struct Received {
  std::string from = {};  // id of the partition that wrote it
  std::uint64_t turn = 0;
  std::string sha256 = {};
  std::uint32_t tokens = 0;
};

// One partition at length: also what its owner said in it and heard.
struct Inspected {
  Shown shown = {};
  std::vector<engine::ChatMessage> messages = {};  // of its chat; none of a completion, nor of one cut between answers
  std::vector<Received> received = {};
};

struct Limits {
  std::uint32_t partitions = 64;  // of one owner
};

class Conversations {
  struct Conversation;
  struct Owner;

 public:
  // Both must outlive this. `engine` is safe on any thread (desk/desk.h).
  Conversations(engine::Engine& engine, Limits limits);
  Conversations(const Conversations&) = delete;
  Conversations& operator=(const Conversations&) = delete;
  ~Conversations();

  // A conversation that nobody else uses meanwhile. Given back by destroying it.
  class Lease {
   public:
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();

    [[nodiscard]] partition::Partition& partition() const;
    [[nodiscard]] const std::string& id() const;
    // As others see it once it is given back.
    [[nodiscard]] Inspected inspected() const;
    [[nodiscard]] const Reuse& reuse() const { return reuse_; }
    // What is still to be prefilled.
    [[nodiscard]] const conversation::TracedTokens& tail() const { return tail_.tokens; }

    // The messages of other partitions that the tail holds.
    [[nodiscard]] const std::vector<partition::Arrival>& arrivals() const { return tail_.arrivals; }
    // All that the chat holds.
    [[nodiscard]] const std::vector<Crossing>& crossings() const;
    [[nodiscard]] const std::vector<engine::ChatMessage>& messages() const;
    [[nodiscard]] const ToolUse& tools() const;

    // All of it is the tail: of one that holds nothing.
    void wants_all(const Wanted& wanted);
    // Says that it was forked from that one, whatever it was made of.
    void comes_from(const Lease& source) const;
    // The tail is in the cache: the chat is what was wanted. From now on reuse() is what the ledger says.
    void prefilled(const Wanted& wanted);
    // The text of a generation behind that, what it says, and the end token if one was drawn.
    void answered(const std::string& text, const engine::AnswerParts& answer, std::optional<engine::Token> end) const;
    // Nothing of it may be used again.
    void give_up() const;

   private:
    friend class Conversations;
    explicit Lease(std::shared_ptr<Conversation> taken);
    std::shared_ptr<Conversation> taken_;
    std::uint64_t prefilled_before_ = 0;  // tokens, by what it held already
    Reuse reuse_;
    Tail tail_;
  };

  // The conversation for a request of `owner`. Requests that name one partition get it in the order they came;
  // kInterrupted when `cancel` is requested first. kResource: the owner has as many partitions as it may, and all are
  // named or in use. kUsage: the request names an id, and the owner has none of it.
  [[nodiscard]] Result<Lease> take(const std::string& owner, const Identity& identity, const Wanted& wanted,
                                   const std::stop_token& cancel);
  // A further conversation that starts as `source` is now, under this name, or none.
  [[nodiscard]] Result<Lease> fork(const Lease& source, const std::string& name = {});
  // What the lease's request wants is in the cache: those who wait for it get their forks. Before it generates.
  void share(const Lease& lease);

  // ---- what an owner does with partitions by name or id. kUsage: the owner has no such one; kClosed: it is in use.
  // A new one. kClosed: the name is taken; kBadInput: it is none.
  [[nodiscard]] Result<Lease> declare(const std::string& owner, const Identity& identity);
  // One that is there, in the order in which requests came.
  [[nodiscard]] Result<Lease> hold(const std::string& owner, const std::string& name, const std::stop_token& cancel);
  // One that nobody uses or waits for.
  [[nodiscard]] Result<Lease> hold_idle(const std::string& owner, const std::string& name);
  // kClosed: one of the names is taken, or appears twice; kResource: there is no room for so many.
  [[nodiscard]] Result<void> check_room(const Lease& source, const std::vector<std::string>& names) const;
  // A further one that holds what `source` holds of the beginning of its chat that is wanted; the rest is its tail.
  [[nodiscard]] Result<Lease> fork_up_to(const Lease& source, const Wanted& wanted, const std::string& name);
  // What is not in this beginning goes; what is missing of it is the tail.
  [[nodiscard]] Result<void> cut_up_to(Lease& lease, const Wanted& wanted) const;
  // Keeps so many tokens. Of the chat stays what ends there.
  [[nodiscard]] Result<void> cut(const Lease& lease, std::uint64_t tokens) const;
  [[nodiscard]] Result<void> remove(const std::string& owner, const std::string& name);

  [[nodiscard]] std::vector<Shown> list(const std::string& owner) const;
  // nullopt: the owner has none of this id or name.
  [[nodiscard]] std::optional<Inspected> find(const std::string& owner, const std::string& name) const;
  // The finished answer with this number in a partition's chat, or its last: what was finished when the partition was
  // in use last. nullopt: there is none, for whatever reason.
  [[nodiscard]] std::optional<Message> output(const std::string& owner, const std::string& name,
                                              std::optional<std::uint64_t> turn) const;

 private:
  using Clock = std::chrono::steady_clock;
  using Held = std::shared_ptr<Conversation>;
  struct Choice;
  struct Follower;

  // All of these with the owner locked.
  [[nodiscard]] Result<Held> wait_for(std::unique_lock<std::mutex>& lock, Owner& owner, const std::string& name,
                                      const std::stop_token& cancel) const;
  [[nodiscard]] Result<Lease> take_named(std::unique_lock<std::mutex>& lock, Owner& owner, const Identity& identity,
                                         const Wanted& wanted, const std::stop_token& cancel);
  [[nodiscard]] Result<Lease> take_by_history(std::unique_lock<std::mutex>& lock, Owner& owner,
                                              const Identity& identity, const Wanted& wanted,
                                              const std::stop_token& cancel);
  [[nodiscard]] Result<Lease> go_on_or_open(Owner& owner, const Identity& identity, const Wanted& wanted,
                                            const Held& source, std::size_t continued);
  [[nodiscard]] Held leader(const Owner& owner, const Identity& identity, const Wanted& wanted,
                            const Held& source) const;
  [[nodiscard]] Result<std::optional<Lease>> follow(std::unique_lock<std::mutex>& lock, Owner& owner,
                                                    const Held& leader, const Wanted& wanted,
                                                    const std::stop_token& cancel) const;
  [[nodiscard]] Result<Lease> fork_for(const Conversation& source, const Wanted& wanted);
  [[nodiscard]] Result<Held> open(Owner& owner, const Identity& identity);
  [[nodiscard]] Result<Held> fork_of(const Conversation& source, std::uint64_t tokens, const std::string& name = {});
  [[nodiscard]] Result<void> make_room(Owner& owner) const;

  [[nodiscard]] Held nearest(const Owner& owner, const Identity& identity, const Wanted& wanted,
                             std::size_t& continued) const;

  [[nodiscard]] Result<Choice> choose(const Conversation& conversation, const Wanted& wanted) const;
  [[nodiscard]] Result<void> fit(Lease& lease, const Wanted& wanted) const;
  [[nodiscard]] engine::OpenOptions options_of(const Owner& owner) const;
  [[nodiscard]] std::string new_id();
  [[nodiscard]] Owner& owner_of(const std::string& name) const;

  engine::Engine* engine_;
  Limits limits_;
  std::atomic<std::uint64_t> opened_ = 0;
  mutable std::mutex mutex_;  // of the map alone: an owner stays where it is, for ever
  mutable std::map<std::string, std::unique_ptr<Owner>> owners_;
};

}  // namespace bulkhead::serve
