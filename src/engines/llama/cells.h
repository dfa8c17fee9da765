// SPDX-License-Identifier: MIT
// The cells of sequences, whatever cache they lie in, and what computes batches there. Two kinds: pages
// (paged_cells.h) for models whose attention is ours, rooms of libllama's own contexts (context_pool.h) for the rest.
//
// Thread rule: that of the engine.
#pragma once

#include "engine/engine.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::engines::llama {

// Tokens decoded at a time in a prefill: chunk boundaries lie at its multiples, counted from the call's first token.
// With 512 the activations of a large model's layer no longer stay in a cache: measured on Zen 5, 512 tokens of Qwen
// 1.5B take 1.19 s in one chunk, 1.13 s in two or four, of Gemma 270M 0.166, 0.144 and 0.147 s.
inline constexpr std::uint32_t kChunkTokens = 256;
// Tokens scored at a time: each costs one row of logits.
inline constexpr std::uint32_t kScoreTokens = 32;
class Cells;

// One row of a batch.
struct BatchToken {
  engine::Token token = 0;
  std::uint32_t position = 0;
  Cells* cells = nullptr;
  bool want_logits = false;
};

// What one decode came to. After any failure the cells hold what they held; those that were asked for may have room
// that they do not use.
enum class Decoded {
  kDone,
  kAborted,  // its cancellation was requested
  kNoRoom,   // there are no cells for it: nothing was computed
  kFailed
};

// Computes batches for all cells that name it as their decoder.
class Decoder {
 public:
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  virtual ~Decoder() = default;

  // Tokens of one sequence stand together, at the positions behind what it holds; at most most_sequences() of them.
  // `reason`: of a failure, for people.
  [[nodiscard]] virtual Decoded decode(std::span<const BatchToken> batch, std::string& reason) = 0;
  // The logits of a row of the last batch that asked for them; valid until the next decode. Empty: there are none.
  [[nodiscard]] virtual std::span<const float> row(std::size_t index) const = 0;
  [[nodiscard]] virtual std::size_t most_sequences() const = 0;
  // Whether sequences of one batch may have different numbers of tokens at no cost.
  [[nodiscard]] virtual bool mixes() const = 0;
};

// The cells of one sequence as bytes that belong to the caller.
using StoredCells = std::vector<std::byte>;

// Defect D13 (mutant.h): the last bytes stay behind for whoever comes next. Within the newest cell of the last layer:
// more, and libllama would see it and refuse.
void swap_last_bytes(StoredCells& cells);

// What one sequence has in a cache: `n` cells for the positions 0 to n - 1. Destroying it gives them back, overwritten
// with zeros where their place is known.
class Cells {
 public:
  Cells() = default;
  Cells(const Cells&) = delete;
  Cells& operator=(const Cells&) = delete;
  virtual ~Cells() = default;

  [[nodiscard]] virtual Decoder& decoder() = 0;
  // Sequences decode faster together in rising order of this; it is unique among those of one decoder.
  [[nodiscard]] virtual std::uint32_t order() const = 0;

  // Takes out the cells from position `tokens` on. False: they cannot be taken out.
  [[nodiscard]] virtual bool trim(std::uint32_t tokens) = 0;
  // Whether all is there that a token at `position` can see.
  [[nodiscard]] virtual bool covers(std::uint32_t position) const = 0;
  // Takes over the first `tokens` cells of others of the same store; it is empty before. False, and empty: it cannot.
  [[nodiscard]] virtual bool copy(Cells& source, std::uint32_t tokens) = 0;

  // All that the next token can see, as bytes for any empty cells of the same model and options. nullopt: it cannot be
  // had in a form that goes on bit for bit.
  [[nodiscard]] virtual std::optional<StoredCells> store() = 0;
  // Sizes of the pieces at the end of what store() gives that forks have in common; empty: it has none.
  [[nodiscard]] virtual std::vector<std::uint64_t> stored_pieces() const { return {}; }
  // Fills empty cells, as those of `tokens`. False, and empty, when the bytes are not those of so many cells.
  [[nodiscard]] virtual bool restore(const StoredCells& bytes, std::span<const engine::Token> tokens) = 0;

  // Positions of the oldest cell that is left and of the newest; -1: empty.
  [[nodiscard]] virtual std::int64_t first_position() const = 0;
  [[nodiscard]] virtual std::int64_t last_position() const = 0;
  // Of the cells that count, and of all that was taken for them.
  [[nodiscard]] virtual std::uint64_t bytes_used() const = 0;
  [[nodiscard]] virtual std::uint64_t bytes_allocated() const = 0;
  // For which token each cell was computed, as far as that is written down; nullopt: it is not.
  [[nodiscard]] virtual std::optional<std::vector<engine::Token>> witness() const { return std::nullopt; }
  // XXH3-64 of all that is stored for it. kUnsupported: not before the next computation.
  [[nodiscard]] virtual Result<std::uint64_t> hash() = 0;
};

// What can stop the computation that is running: the tokens of all whom it serves. One of them alone does not stop what
// the others wait for.
class Cancellation {
 public:
  // False when there are none.
  [[nodiscard]] bool requested() const;

 private:
  friend class CancelScope;
  std::vector<std::stop_token> tokens_;
};

// Puts stop tokens where running decodes look, for as long as it lives.
class CancelScope {
 public:
  CancelScope(Cancellation& cancellation, std::vector<std::stop_token> tokens)
      : cancellation_(&cancellation), before_(std::exchange(cancellation.tokens_, std::move(tokens))) {}
  ~CancelScope() { cancellation_->tokens_ = std::move(before_); }
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

 private:
  Cancellation* cancellation_;
  std::vector<std::stop_token> before_;
};

// What to say when a reservation does not fit into memory.
[[nodiscard]] Error too_little_memory(std::uint64_t needed, std::uint64_t available, std::uint32_t sequences,
                                      std::uint32_t tokens_each);

// The cells of all sequences of one engine.
class CellStore {
 public:
  CellStore() = default;
  CellStore(const CellStore&) = delete;
  CellStore& operator=(const CellStore&) = delete;
  virtual ~CellStore() = default;

  // See engine::Engine.
  [[nodiscard]] virtual std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const = 0;
  [[nodiscard]] virtual Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) = 0;

  // By the cells of all that are open.
  [[nodiscard]] virtual std::uint64_t bytes_taken() const = 0;

  // Empty cells for at most `capacity` tokens. `only_forked`: see engine::OpenOptions. `beside`, if given: others that
  // they are copied from, or decoded with. kResource when there is no room.
  [[nodiscard]] virtual Result<std::unique_ptr<Cells>> open(std::uint32_t capacity, bool only_forked,
                                                            const Cells* beside) = 0;
  // Whether all of `growths` can be computed one after the other or together, if nothing else is.
  struct Growth {
    const Cells* cells = nullptr;
    std::uint32_t tokens = 0;  // that it holds then
  };
  [[nodiscard]] virtual bool can_grow(std::span<const Growth> growths) const = 0;
  // Clears what closed cells have left, all of it: for when nobody waits. Otherwise that is done a piece at a time.
  virtual void clear_what_is_left() {}
  // Whether bytes from outside have the form of what store() gives for `tokens` cells.
  [[nodiscard]] virtual bool are_cells_of(const StoredCells& bytes, std::uint32_t tokens) const = 0;
};

}  // namespace bulkhead::engines::llama
