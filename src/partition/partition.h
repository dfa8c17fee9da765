// SPDX-License-Identifier: MIT
// Partition: one isolated KV cache with an owner's name and a ledger. It is the only way in which the rooms above touch
// a sequence of an engine.
//
// Isolation by type: nothing here takes two partitions but fork(), whose source is read-only. What passes between
// partitions is a Message, made by output_message() from a finished generation.
//
// State after a failure: as the engine's contract says (engine/engine.h), and the ledger says what the cache holds; a
// call that is refused has changed neither. After close(), and of a partition that was moved from, every call gives
// kClosed.
//
// Thread rule: as the engine's, one thread at a time. Lifetime: the engine must outlive its partitions.
#pragma once

#include "base/result.h"
#include "conversation/traced_tokens.h"
#include "engine/engine.h"
#include "partition/image.h"
#include "partition/ledger.h"
#include "partition/surplus.h"

#include <bulkhead/message.h>
#include <bulkhead/options.h>

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace bulkhead::partition {

// A message, and how many tokens it has become where it is received.
struct Arrival {
  Message message;
  std::uint32_t tokens = 0;
};

struct RestoredPartition;

class Partition {
 public:
  [[nodiscard]] static Result<Partition> open(engine::Engine& engine, std::string name, engine::OpenOptions options);

  Partition(Partition&& other) noexcept;
  Partition& operator=(Partition&& other) noexcept;
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;
  ~Partition();  // closes

  // All that this partition is. kBadInput while it is busy; kUnsupported without Capability::kSnapshot.
  [[nodiscard]] Result<PartitionImage> image() const;

  // A partition that goes on as the one of the image would have: from its cells where the engine takes them, else with
  // its tokens computed anew, which the ledger counts. kCorrupt: the image contradicts itself; kResource: no room.
  [[nodiscard]] static Result<RestoredPartition> restore(engine::Engine& engine, PartitionImage image,
                                                         engine::OpenOptions options);

  // Appends tokens, behind what the texts of this partition say: a surplus goes first (settle()), the character too
  // that is not finished. The ledger changes only when the engine took them all.
  [[nodiscard]] Result<void> prefill(const conversation::TracedTokens& tokens, std::stop_token cancel = {},
                                     const engine::PrefillProgress& progress = {});

  // Makes the cache hold what the last generation's text says, and nothing else: tokens of a stop string go, and the
  // text that stays of the last of them is tokenized and prefilled anew. A character that a further generation may
  // finish stays until something else comes. Every call that needs it does this by itself, so a partition that is
  // closed right after a generation does not pay for it. kResource: the text that stays has no room, and the partition
  // is as it was before that generation; any other failure: poisoned.
  // `unfinished_too`: such a character goes as well, so that the ledger is exactly what the texts say.
  [[nodiscard]] Result<void> settle(bool unfinished_too = false);

  // Keeps the first `tokens` tokens, and the receipts of the messages that are among them, as if nothing had come
  // behind them; a surplus that is among them goes first. There is no finished output then. kBadInput: it holds fewer.
  [[nodiscard]] Result<void> truncate(std::size_t tokens);

  // A new partition with the first `tokens` tokens of this one, and the receipts of the messages that are among them.
  [[nodiscard]] Result<Partition> fork(std::string name, std::uint32_t tokens, engine::OpenOptions options) const;

  // Notes a message in the ledger and gives the text to assemble. The tokens follow by prefill(), with origin kMessage
  // and the message's label.
  [[nodiscard]] const std::string& receive(const Message& message);

  // Appends what a message has become here, and notes the message. Refused, it leaves no receipt behind.
  [[nodiscard]] Result<void> receive(const Message& message, const conversation::TracedTokens& tokens,
                                     std::stop_token cancel = {});

  // Appends tokens among which are those that several messages have become here, and notes these, as prefill() else.
  // Refused, it leaves no receipt behind.
  [[nodiscard]] Result<void> receive(std::span<const Arrival> messages, const conversation::TracedTokens& tokens,
                                     std::stop_token cancel = {}, const engine::PrefillProgress& progress = {});

  // The output of the last generation. kBadInput if there is none that finished.
  [[nodiscard]] Result<Message> output_message(std::string label) const;

  // What the engine says it holds.
  [[nodiscard]] Result<engine::SequenceState> inspect() const;

  // Ends the partition; the destructor does nothing then.
  [[nodiscard]] Result<void> close();

  [[nodiscard]] const Ledger& ledger() const noexcept { return ledger_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  friend struct GenerateAccess;  // generate() below
  Partition(engine::Engine& engine, engine::SequenceId sequence, std::string name, std::uint32_t capacity)
      : engine_(&engine), sequence_(sequence), name_(std::move(name)), capacity_(capacity) {}
  Partition(engine::Engine& engine, std::string name, std::uint32_t capacity)
      : engine_(&engine), name_(std::move(name)), capacity_(capacity) {}
  [[nodiscard]] Result<engine::SequenceId> sequence() const;
  // Gives why the cells were not taken; empty: they were.
  [[nodiscard]] Result<std::string> take_cells(const engine::Snapshot& cells, const engine::OpenOptions& options);
  [[nodiscard]] Result<void> append(const conversation::TracedTokens& tokens, std::stop_token cancel,
                                    const engine::PrefillProgress& progress);
  [[nodiscard]] Result<void> compute(const conversation::TracedTokens& tokens, std::stop_token cancel,
                                     const engine::PrefillProgress& progress);
  [[nodiscard]] Result<void> make_way(std::span<const engine::Token> next);
  [[nodiscard]] Result<conversation::TracedTokens> instead_of_surplus() const;
  [[nodiscard]] Result<void> drop_surplus();
  [[nodiscard]] Result<void> shorten(std::size_t tokens);

  engine::Engine* engine_;
  std::optional<engine::SequenceId> sequence_;  // none: closed or moved from
  std::string name_;
  std::uint32_t capacity_ = 0;  // in tokens
  Ledger ledger_;
  std::optional<Surplus> surplus_;
  std::optional<std::string> finished_text_;  // of the last generation, if it was not cancelled
};

struct RestoredPartition {
  Partition partition;
  std::uint32_t reused_tokens = 0;  // whose cells were taken over: all or none
  std::string why_not_more;         // why none were
};

// One partition's part of a batch.
struct GenerateRequest {
  Partition* partition = nullptr;
  GenerateOptions options;
  std::string label;  // output the generated tokens belong to, for the trace
};

// Generates for all requests in one batch of `engine`; results in order. Each result is written to its own partition's
// ledger only. Where the generation before ended inside a character, the text begins with that character. A request
// without a partition, with one of another engine, or whose partition appears more than once is kUsage (each of its
// requests, then), and one whose partition is closed kClosed: found before anything runs, nothing is touched, and the
// others run.
[[nodiscard]] std::vector<Result<engine::GenerateResult>> generate(engine::Engine& engine,
                                                                   std::span<const GenerateRequest> requests);

}  // namespace bulkhead::partition
