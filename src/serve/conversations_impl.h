// SPDX-License-Identifier: MIT
// What a conversation and an owner are made of. Only the files of Conversations include this one.
#pragma once

#include "serve/conversations.h"

#include <condition_variable>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::serve {

// Made for a conversation, as "p-7": no name may look like one.
[[nodiscard]] bool is_partition_id(std::string_view name);
// kUsage, kClosed.
[[nodiscard]] Error no_such_partition();
[[nodiscard]] Error name_taken(const std::string& name);

// An answer that was generated here, at the end of so many messages.
struct AnswerMark {
  std::size_t messages = 0;
  std::size_t rendered_bytes = 0;  // of the log's rendering, up to where the answer begins
  std::optional<engine::Token> end = {};
  std::uint64_t tokens = 0;            // that the partition held then
  std::optional<Message> output = {};  // none: it was cut short
};

// A request that waits until another one's prompt is in the cache, to be forked from it.
struct Conversations::Follower {
  const Wanted* wanted;
  bool told = false;                // that it is there, or that it will not come
  std::optional<Lease> lease = {};  // its fork; none: it did not come
};

struct Conversations::Conversation {
  std::string id;
  Owner* owner;
  Identity identity;
  std::string forked_from = {};
  std::optional<partition::Partition> partition = {};
  prompt::ChatLog log = {};
  std::vector<Crossing> crossings = {};  // in the log's messages
  ToolUse tools = {};                    // that the log's template was told of
  std::vector<AnswerMark> answers = {};  // of those that the cache holds, in order
  bool known = false;                    // the cache holds what the log says, and nothing behind it
  bool raw = false;                      // holds a completion's tokens, not a chat
  bool broken = false;                   // to be closed when it is given back, or closed already
  bool busy = true;
  std::deque<std::uint64_t> waiting = {};  // numbers of those who want it next, in the order they came
  Clock::time_point used = Clock::now();
  std::optional<conversation::TracedTokens> coming = {};  // what it will hold, as long as that is being computed
  std::vector<Follower*> followers = {};                  // who wait for it
  // As it was when it was given back last.
  Inspected inspected = {};
  std::vector<AnswerMark> shown_answers = {};

  [[nodiscard]] bool in_use() const { return busy || !waiting.empty(); }
  // Its chat up to an answer.
  [[nodiscard]] prompt::ChatLog log_at(const AnswerMark& mark) const;
  // Only the first `tokens` tokens are left.
  void shortened(std::uint64_t tokens);
  // How many first tokens of what is wanted are being computed.
  [[nodiscard]] std::uint64_t coming_of(const Wanted& wanted) const;
  // Notes how it is now, for who looks at it later.
  void show();
  [[nodiscard]] Inspected seen() const;
};

struct Conversations::Owner {
  std::string name;
  std::mutex mutex = {};  // of what follows, and of what conversations show
  std::condition_variable_any given_back = {};
  std::vector<Held> all = {};
  std::uint64_t waited = 0;  // how many came to wait so far

  [[nodiscard]] Held find(const std::string& id_or_name) const;
  void give_back(const Held& held);
};

// What a conversation already holds of what is wanted: the same history, or the same first tokens.
struct Conversations::Choice {
  bool continues = false;
  std::uint64_t tokens = 0;
  std::size_t bytes = 0;   // of the rendering, where what is held is known by its text up to there
  std::uint64_t more = 0;  // tokens of what lies behind these bytes that are held as well, and counted in `tokens`

  // By its whole history, or by an answer in between, whose tokens need not be those of its text, or by tokens.
  static Choice of(const Conversation& conversation, const Wanted& wanted, const engine::Tokenizer& tokenizer);
  // Looks at what is held behind that answer, too; `held` has `tokens`.
  [[nodiscard]] Result<void> refine(const conversation::TracedTokens& held, const Wanted& wanted,
                                    const engine::Tokenizer& tokenizer);

  // What is missing.
  [[nodiscard]] Result<Tail> tail(const Wanted& wanted, const engine::Tokenizer& tokenizer) const;
};

}  // namespace bulkhead::serve
