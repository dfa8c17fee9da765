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

// What one sequence computes in a step: its pending token, if it has one, and `tokens` behind that.
struct StepPart {
  Sequence* sequence = nullptr;
  std::vector<engine::Token> tokens = {};
  // kAll: a draw, whose tokens are a draft. Else a piece of a prompt.
  Want want = Want::kAll;

  [[nodiscard]] std::size_t rows() const { return tokens.size() + (sequence->pending ? 1U : 0U); }
};

// The outcome of one step for one sequence.
struct StepOutcome {
  std::optional<Error> error;  // the sequence is poisoned, or (kInterrupted, kResource) as before
  // [rows asked for][n_vocabulary]: after the pending token and after each token of a draft, or after the last of a
  // piece. Valid until the next decode of this decoder.
  std::vector<std::span<const float>> logits;
  Logits own;  // where logits[0] points when sequences had to be decoded one by one; there is no other row then
};

// Decodes all parts as one batch; no sequence is pending then. All have the same decoder, which takes so many at once;
// where that does not mix, all are draws, and all drafts of one length. When the batch fails, each is tried alone and
// without its draft, so that one bad sequence does not take others along. Cells of drafts stay in the cache:
// drop_draft() takes out the wrong ones. Does not touch the tokens of the sequences.
[[nodiscard]] std::vector<StepOutcome> decode_step(std::span<const StepPart> parts);

// Takes what is cached behind sequence.cached() out of the cache. The sequence is poisoned when libllama cannot.
void drop_draft(Sequence& sequence);

}  // namespace bulkhead::engines::llama
