// SPDX-License-Identifier: MIT
// One sequence of the llama engine, and the computations that extend it.
#pragma once

#include "engine/engine.h"
#include "engines/llama/cells.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

using Logits = std::vector<float>;  // [n_vocabulary]

// Invariant: positions 0 to cached() - 1 went into the cache, in that order, and nothing else did.
struct Sequence {
  std::unique_ptr<Cells> cells;
  std::uint32_t capacity = 0;
  std::vector<engine::Token> tokens;     // all of them; the history that a lost cache is computed from again
  bool pending = false;                  // the last token is not in the cache yet
  std::shared_ptr<const Logits> logits;  // that follow the last token; null: unknown. Shared by forks
  bool poisoned = false;

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(tokens.size()); }
  [[nodiscard]] std::uint32_t cached() const { return size() - (pending ? 1U : 0U); }
};

// Decodes `tokens` behind what is cached, as one batch. `want`: of which of them logits are asked.
// Gives the rows that were asked for, joined. kInterrupted: stopped; kResource: no cells are left; kInternal: libllama
// failed. The cache is then as before. Does not touch sequence.tokens.
enum class Want { kNone, kLast, kAll };
[[nodiscard]] Result<Logits> decode_chunk(const Sequence& sequence, std::uint32_t position,
                                          std::span<const engine::Token> tokens, Want want);

// Appends tokens in chunks of kChunkTokens; a pending token goes first, alone. Keeps the logits of the last one.
// After a failure the sequence is poisoned, unless it was kResource and nothing was appended yet.
[[nodiscard]] Result<void> append(Sequence& sequence, std::span<const engine::Token> tokens,
                                  const engine::PrefillProgress& progress = {});

// Makes sure that either the logits after the last token are known, or that token is pending: then decode it.
void prepare_to_draw(Sequence& sequence);

// The outcome of one step for one sequence.
struct StepOutcome {
  std::optional<Error> error;  // the sequence is poisoned, or (kInterrupted, kResource) as before
  // [1 + draft tokens][n_vocabulary]: after the pending token and after each token of the draft. Valid until the next
  // decode of this decoder.
  std::vector<std::span<const float>> logits;
  Logits own;  // where logits[0] points when sequences had to be decoded one by one; there is no other row then
};

// Decodes the pending token of each sequence and a draft behind it, all in one batch. All have the same decoder, which
// takes so many at once, and all drafts are of one length (0: none). When the batch fails, each is tried alone and
// without its draft, so that one bad sequence does not take others along. The cells of the drafts stay in the cache:
// drop_draft() takes out the wrong ones.
[[nodiscard]] std::vector<StepOutcome> decode_step(std::span<Sequence* const> sequences,
                                                   std::span<const std::vector<engine::Token>> drafts);

// Takes what is cached behind sequence.cached() out of the cache. The sequence is poisoned when libllama cannot.
void drop_draft(Sequence& sequence);

}  // namespace bulkhead::engines::llama
