// SPDX-License-Identifier: MIT
// Trace: actions on partitions as data. It is generated, shrunk, printed and replayed; running it is trace_run.h's
// work.
//
// Any list of actions is a legal trace: an action on a partition that is not open is not performed, and that is shown.
// So every subset of a trace is one too, which is what projection and shrinking rest on.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::verify {

enum class ActionKind {
  kOpen,           // a new partition
  kPrefill,        // appends `text`
  kReceive,        // appends the last finished output of partition `from`, as text
  kFork,           // a new partition from the first part of `from`
  kGenerate,       // all `members` in one batch; they may join late, and bring a text (struct Member)
  kScore,          // appends `text` and asks for its log probabilities
  kCancelPrefill,  // a prefill whose caller has given up
  kFail,           // a request that must be refused and must change nothing
  kChat,           // appends `text` as a user's turn; of the public surface only
  kTruncate,       // keeps the first part of the partition's tokens
  kPark,           // parks everything that is not in use; of the public surface only, and about no partition
  kSnapshot,       // keeps the partition as bytes, in place of an earlier snapshot of it
  kRestore,        // a new partition from the last snapshot of `from`, which may be closed by now
  kClose,
};

enum class Refusal {
  kOverflow,    // more tokens than the partition has room for
  kBadToken,    // a token outside the vocabulary
  kForkBeyond,  // a fork at a token that is not there
  kNoTokens,    // an empty prefill
  kDamaged,     // a restore from a snapshot with a flipped bit
  // Of the public surface only:
  kMessage,  // a message longer than what is left
  kForeign,  // a batch that also names a partition of another model
  kTwice,    // a batch that names one partition twice
  kBudget,   // one partition more than its owner's budget, beside an owner who still has all of his
};

[[nodiscard]] std::string_view name(ActionKind kind) noexcept;
[[nodiscard]] std::string_view name(Refusal refusal) noexcept;

// One partition's part of a batch.
struct Member {
  std::uint32_t partition = 0;
  std::uint32_t max_tokens = 1;
  float temperature = 0;  // 0: greedy
  std::uint32_t seed = 0;
  std::optional<std::uint32_t> cancel_after = {};  // its caller stops it after so many tokens; 0: before the first
  bool cancel_call = false;                        // and then stops the whole call, its other members too
  // Its stop token is asked so many microseconds after the call began, wherever the computation is by then.
  std::optional<std::uint32_t> cancel_after_us = {};
  std::string stop = {};  // stop string; empty: none
  // A job of its own, that prefills `text` first, and joins when the others have made so many steps: on the public
  // surface, a thread of its own that begins so many tenths of a millisecond later.
  std::optional<std::uint32_t> join_after = {};
  std::string text = {};  // only with join_after
  friend bool operator==(const Member&, const Member&) = default;
};

// One action. Fields that a kind does not use are empty.
struct Action {
  ActionKind kind = ActionKind::kOpen;
  std::uint32_t partition = 0;  // whom it acts on; each is opened (or forked) at most once
  std::uint32_t from = 0;       // kFork, kRestore: source; kReceive: sender
  std::uint32_t capacity = 0;   // kOpen, kFork, kRestore: tokens
  std::uint32_t permille = 0;   // kFork, kTruncate: the part of the tokens that is taken or stays, up to 1000
  std::string text = {};        // kPrefill, kScore, kCancelPrefill
  Refusal refusal = Refusal::kOverflow;
  std::vector<Member> members = {};  // kGenerate
  friend bool operator==(const Action&, const Action&) = default;

  // Whether the action is one of `who`; a fork, a restore and a message act on their receiver, not on their source.
  [[nodiscard]] bool acts_on(std::uint32_t who) const noexcept;
};

struct Trace {
  std::vector<Action> actions;
  bool surface = false;  // it runs on the public surface (surface_run.h), not on the engine seam (trace_run.h)
  friend bool operator==(const Trace&, const Trace&) = default;

  // Partitions that are opened or forked, in that order.
  [[nodiscard]] std::vector<std::uint32_t> partitions() const;
  // Room that a run of it needs: partitions open at once if nothing fails, and the largest capacity.
  [[nodiscard]] std::uint32_t most_open() const;
  [[nodiscard]] std::uint32_t largest_capacity() const;
};

[[nodiscard]] Json to_json(const Trace& trace);
// kBadInput names the first field that breaks the form of to_json().
[[nodiscard]] Result<Trace> trace_from_json(const JsonView& document);

}  // namespace bulkhead::verify
