// SPDX-License-Identifier: MIT
// Model and Partition: one set of weights, many KV caches that cannot see each other.
//
// Thread rule: any thread may call any Model or Partition. Calls on one partition wait for each other; those on
// different partitions are computed together, joining and leaving between two steps, and none of them changes what
// another gives. Moving and destroying are the caller's to keep apart from calls, as with any object.
//
// Wrong handles: a call on a Model or Partition that was moved from gives kUsage and touches nothing; those calls that
// give no Result give an empty value (grade(): kClaimed). For Model::generate() the same holds of each partition it is
// handed.
//
// State after a failure, of every call of a Partition: kUsage, kBadInput, kUnsupported and kResource are found before
// any work, and everything is as it was before the call: cache, books, chat, finished output. kUnsupported may also be
// found in the middle of a generation that a grammar or a bias has left no token: what was drawn is taken out again,
// and everything is as it was, too. The same holds of kInterrupted. After any other failure the partition is poisoned:
// every later call gives kClosed, usage() tells what its books said last, and its name stays taken until it is
// destroyed. Other partitions are never affected.
#pragma once

#include <bulkhead/error.h>
#include <bulkhead/export.h>
#include <bulkhead/message.h>
#include <bulkhead/options.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead {

// Why a generation ended.
enum class FinishReason { kEnd, kLength, kStop, kCancelled };

// The outcome of one generation.
struct BULKHEAD_API Generation {
  std::string text;                  // valid UTF-8, without the stop string and the end token
  std::vector<std::int32_t> tokens;  // [n_generated] as drawn, those of the stop string and the end token included
  std::vector<std::uint64_t>
      logit_hashes;  // [n_generated] XXH3-64 of the f32 logits each token was drawn from; empty unless asked for
  std::vector<TokenLogprobs> logprobs;  // [n_generated]; empty unless asked for
  FinishReason finish = FinishReason::kLength;
  double ttft_ms = 0;    // call to first token
  double decode_ms = 0;  // first to last token
};

// What a partition holds and what that cost. Counts are tokens.
struct BULKHEAD_API PartitionUsage {
  std::string name;
  std::uint64_t tokens = 0;            // in the cache
  std::uint64_t prefilled_tokens = 0;  // computed by prefill
  std::uint64_t reused_tokens = 0;     // taken over by a fork, not computed again
  std::uint64_t generated_tokens = 0;  // drawn
  // Taken out of the cache again, because the text of a generation does not say them, or computed a second time for
  // that: prefilled + reused + generated - removed = tokens.
  std::uint64_t removed_tokens = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t kv_bytes_used = 0;       // by its cells
  std::uint64_t kv_bytes_allocated = 0;  // in the cache; 0 while it is parked
  std::string token_sha256;              // of the token ids in order, each as 4 bytes little-endian
};

// For whom a partition is opened. What owners may have is bounded by their budgets alone, and what one of them has or
// does never makes a call of another fail, as long as budgets leave room for both.
struct BULKHEAD_API PartitionOptions {
  std::string owner = {};             // any name; "" is an owner like all others
  std::uint32_t capacity_tokens = 0;  // most tokens it will ever hold; 0: the context of the model
};

// What one owner may have at a time. 0: no limit.
struct BULKHEAD_API OwnerBudget {
  // Of cells in the cache, a fork's shared ones too. Partitions that nobody uses are parked to stay within it: their
  // cells become bytes, and come back, bit for bit, with the next call.
  std::uint64_t kv_bytes = 0;
  std::uint32_t partitions = 0;  // open ones, parked or not: one more is kResource
  std::uint32_t calls = 0;       // prefills and generations that are computed at the same time: more wait
};

// One isolated KV cache. Move-only: copying a cache is the named call fork().
// Lifetime: keeps the engine of its Model alive; closing happens in the destructor.
class BULKHEAD_API Partition {
 public:
  Partition(Partition&&) noexcept;
  Partition& operator=(Partition&&) noexcept;
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;
  ~Partition();

  // Appends `text` as plain content: nothing in it can become a control token. The first call adds the BOS token where
  // the model wants one. Cost: one prefill of the new tokens. kBadInput: the text is empty; kResource: the partition is
  // full, or the budget of its owner is spent; kInterrupted: `cancel` was requested.
  [[nodiscard]] Result<void> prefill(std::string_view text, std::stop_token cancel = {});

  // Appends the text of a message and notes its provenance. Failures as for prefill(): a refused message leaves no
  // trace.
  [[nodiscard]] Result<void> receive(const Message& message, std::stop_token cancel = {});

  // Appends one chat turn with the model's own template, and opens the assistant's turn when `role` is "user". The
  // template sees the roles and never the contents; one that prints the date prints ModelOptions::clock.
  // kUnsupported when the model has no template, or the template refuses the turn; kCorrupt when the template is broken
  // or exceeds a limit (docs/format-files.md).
  [[nodiscard]] Result<void> chat(std::string_view role, std::string_view content, std::stop_token cancel = {});

  // Generates from what the partition holds, and leaves in it what the text says, behind that the end token if one was
  // drawn. Where a stop string is cut off inside a token, that token goes, and the text that stays of it is tokenized
  // and prefilled anew. A character that the last token left unfinished is no part of the text: the next text begins
  // with it if generate() comes next, and it goes if anything else comes. kBadInput when the partition is empty, kUsage
  // when an option lies outside its range, kResource also when the text that stays has no room: nothing of the
  // generation stays then, and there is no finished output.
  [[nodiscard]] Result<Generation> generate(const GenerateOptions& options = {});

  // Keeps the first `tokens` tokens (usage().tokens counts them), as if nothing had come behind them. There is no
  // finished output then. chat() goes on where the place is the end of a turn or of an answer, and is kUnsupported
  // elsewhere, until a truncate(0). Cost: where a sliding window has moved on, a prefill of what is kept. kBadInput: it
  // holds fewer.
  [[nodiscard]] Result<void> truncate(std::uint64_t tokens);

  // A new partition of the same owner that starts as an exact copy of this one; both go on apart. It has no finished
  // output of its own yet. Cost: nothing, where cells lie in pages (docs/architecture.md), which both share until one
  // of them writes; else one copy of the KV buffer. kUsage if the name is taken, kResource if no memory is left or the
  // budget is spent.
  [[nodiscard]] Result<Partition> fork(std::string name) const;

  // The finished output as the one thing another partition may receive. kBadInput if the last generation was cancelled,
  // there was none, or something was appended since.
  [[nodiscard]] Result<Message> last_output(std::string label = {}) const;

  [[nodiscard]] PartitionUsage usage() const;
  // All that the partition holds, as text, for people and audits: the bytes of its tokens in order, control tokens as
  // the model spells them. "" after a move. Cost: a look at every token; nothing is computed.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] const std::string& name() const noexcept;

 private:
  friend class Model;
  struct Impl;  // src/api
  explicit Partition(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A loaded model.
class BULKHEAD_API Model {
 public:
  // Loads the weights. kUsage: unknown engine or file; kCorrupt: not a model, or cut short; kResource: no memory.
  [[nodiscard]] static Result<Model> load(const ModelOptions& options);

  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model();

  // Opens an empty partition. kUsage if the name is taken; kResource if no memory is left for its buffer, or the budget
  // of its owner is spent.
  [[nodiscard]] Result<Partition> open(std::string name, const PartitionOptions& options = {});

  // From now on; what is there already stays. kUsage for a moved-from model.
  [[nodiscard]] Result<void> set_budget(const std::string& owner, const OwnerBudget& budget);

  // Generates for several partitions of this model in one batch; results in the order of `partitions`.
  // `options` holds one entry for all or one for each; any other number is kUsage for all. kUsage for each partition
  // that is null, moved from, of another model, or there more than once: found before anything runs. A failure of one
  // leaves the others running, and so does a cancel: each stops by its own stop token.
  [[nodiscard]] std::vector<Result<Generation>> generate(std::span<Partition* const> partitions,
                                                         std::span<const GenerateOptions> options);

  // Parks all partitions that no call uses: their cells become bytes, and come back, bit for bit, with the next call.
  // How many were parked. 0 where the engine cannot.
  std::uint64_t park();

  [[nodiscard]] std::string description() const;
  [[nodiscard]] Grade grade() const noexcept;

 private:
  friend class Partition;
  struct Impl;  // src/api
  explicit Model(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace bulkhead
