// SPDX-License-Identifier: MIT
// Model and Partition: one set of weights, many KV caches that cannot see each other.
//
// Thread rule: a Model and all partitions opened from it share one engine and must be used from one thread at a time.
// Distinct models are independent. A stop token may be requested on any thread, at any time.
//
// Wrong handles: a call on a Model or Partition that was moved from gives kUsage and touches nothing; those calls that
// give no Result give an empty value (grade(): kClaimed). For Model::generate() the same holds of each partition it is
// handed.
//
// State after a failure, of every call of a Partition: kUsage, kBadInput, kUnsupported and kResource are found before
// any work, and everything is as it was before the call: cache, books, chat, finished output. After any other failure
// the partition is poisoned: every later call gives kClosed, usage() tells what its books said last, and its name stays
// taken until it is destroyed. Other partitions are never affected.
#pragma once

#include <bulkhead/error.h>
#include <bulkhead/export.h>
#include <bulkhead/message.h>
#include <bulkhead/options.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
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
  std::uint64_t kv_bytes_used = 0;
  std::uint64_t kv_bytes_allocated = 0;
  std::string token_sha256;  // of the token ids in order, each as 4 bytes little-endian
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
  // full.
  [[nodiscard]] Result<void> prefill(std::string_view text);

  // Appends the text of a message and notes its provenance. Failures as for prefill(): a refused message leaves no
  // trace.
  [[nodiscard]] Result<void> receive(const Message& message);

  // Appends one chat turn with the model's own template, and opens the assistant's turn when `role` is "user". The
  // template sees the roles and never the contents; one that prints the date prints ModelOptions::clock.
  // kUnsupported when the model has no template, or the template refuses the turn; kCorrupt when the template is broken
  // or exceeds a limit (docs/format-files.md).
  [[nodiscard]] Result<void> chat(std::string_view role, std::string_view content);

  // Generates from what the partition holds, and leaves in it what the text says, behind that the end token if one was
  // drawn. Where a stop string is cut off inside a token, that token goes, and the text that stays of it is tokenized
  // and prefilled anew. A character that the last token left unfinished is no part of the text: the next text begins
  // with it if generate() comes next, and it goes if anything else comes. kBadInput when the partition is empty, kUsage
  // when an option lies outside its range, kResource also when the text that stays has no room: nothing of the
  // generation stays then, and there is no finished output.
  [[nodiscard]] Result<Generation> generate(const GenerateOptions& options = {});

  // A new partition that starts as an exact copy of this one; both go on apart. It has no finished output of its own
  // yet. Cost: one copy of the KV buffer. kUsage if the name is taken, kResource if no memory is left.
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

  // Opens an empty partition. kUsage if the name is taken; kResource if no memory is left for its buffer.
  [[nodiscard]] Result<Partition> open(std::string name);

  // Generates for several partitions of this model in one batch; results in the order of `partitions`.
  // `options` holds one entry for all or one for each; any other number is kUsage for all. kUsage for each partition
  // that is null, moved from, of another model, or there more than once: found before anything runs. A failure of one
  // leaves the others running, and so does a cancel: each stops by its own stop token.
  [[nodiscard]] std::vector<Result<Generation>> generate(std::span<Partition* const> partitions,
                                                         std::span<const GenerateOptions> options);

  [[nodiscard]] std::string description() const;
  [[nodiscard]] Grade grade() const noexcept;

 private:
  friend class Partition;
  struct Impl;  // src/api
  explicit Model(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace bulkhead
