// SPDX-License-Identifier: MIT
// One sequence of the fake engine: its cells, and what can be seen from the last of them.
#pragma once

#include "engine/engine.h"
#include "engines/fake/fake_engine.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::engines::fake {

class FakeSequence {
 public:
  FakeSequence(std::uint32_t capacity, std::uint32_t window) : capacity_(capacity), window_(window) {}

  // Puts tokens into the cache, the pending one first; forgets cells that the window has left.
  void append(std::span<const engine::Token> tokens);
  // A token that was drawn and is not in the cache yet.
  void draw(engine::Token token);
  // From now on draws see this token too; nothing reports it.
  void hide(engine::Token token) { hidden_.push_back(token); }
  // The next cell gets a position one too high.
  void skip_position() { ++skipped_; }
  // Keeps the first `tokens` tokens, the last of them as one that was just drawn; the cells that a window has dropped
  // do not come back.
  void truncate(std::uint32_t tokens);
  // All that it holds, as bytes, and back: false, and nothing changed, when they are not of that form.
  [[nodiscard]] std::vector<std::byte> to_bytes() const;
  [[nodiscard]] bool take(std::vector<engine::Token> tokens, std::span<const std::byte> bytes);
  // Takes over what `other` holds; capacity, number and room stay.
  void take(const FakeSequence& other);

  // Hash of all tokens and positions that can be seen from the end, the pending token included.
  [[nodiscard]] std::uint64_t visible_hash() const;
  // Hash of the cells and of what is hidden beside them, as they are stored.
  [[nodiscard]] std::uint64_t stored_hash() const;
  // Whether the cells cover the window that ends at token `tokens`.
  [[nodiscard]] bool covers(std::uint32_t tokens) const;
  [[nodiscard]] engine::SequenceState state(std::uint64_t bytes_per_token, std::uint64_t bytes_allocated) const;

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(tokens_.size()); }
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
  [[nodiscard]] const std::vector<engine::Token>& tokens() const { return tokens_; }

  std::uint32_t number = 0;  // in the order of making, from 0
  std::uint32_t draws = 0;
  std::uint32_t room = 0;  // tokens of the room it lies in
  bool poisoned = false;

 private:
  struct Cell {
    std::int32_t position;
    engine::Token token;
  };
  void store(engine::Token token);

  std::uint32_t capacity_;
  std::uint32_t window_;
  std::vector<engine::Token> tokens_;  // [size()]
  std::vector<Cell> cells_;            // oldest first; the last size() - pending_ ones that the window covers
  std::vector<engine::Token> hidden_;
  std::int32_t skipped_ = 0;
  bool pending_ = false;  // the last of tokens_ has no cell yet
};

}  // namespace bulkhead::engines::fake
