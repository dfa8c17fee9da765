// SPDX-License-Identifier: MIT
#include "engines/fake/fake_sequence.h"

#include "base/hash.h"

#include <algorithm>

namespace bulkhead::engines::fake {

using engine::Token;

void FakeSequence::store(Token token) {
  cells_.push_back({(cells_.empty() ? 0 : cells_.back().position + 1) + skipped_, token});
  skipped_ = 0;
}

void FakeSequence::append(std::span<const Token> tokens) {
  if (pending_) store(tokens_.back());
  pending_ = false;
  for (const Token token : tokens) {
    tokens_.push_back(token);
    store(token);
  }
  if (window_ > 0 && cells_.size() > window_) cells_.erase(cells_.begin(), cells_.end() - window_);
}

void FakeSequence::draw(Token token) {
  append({});
  tokens_.push_back(token);
  pending_ = true;
}

void FakeSequence::truncate(std::uint32_t tokens) {
  if (tokens >= size()) return;
  tokens_.resize(tokens);
  pending_ = false;
  std::erase_if(cells_, [&](const Cell& cell) { return cell.position >= static_cast<std::int32_t>(tokens); });
}

void FakeSequence::take(const FakeSequence& other) {
  tokens_ = other.tokens_;
  cells_ = other.cells_;
  hidden_ = other.hidden_;
  pending_ = other.pending_;
}

std::uint64_t FakeSequence::stored_hash() const {
  std::vector<Cell> stored = cells_;
  for (const Token token : hidden_) stored.push_back({-1, token});
  return xxh3_64(std::as_bytes(std::span(stored)));
}

bool FakeSequence::covers(std::uint32_t tokens) const {
  if (window_ == 0 || tokens == 0) return true;
  const std::uint32_t oldest_needed = tokens > window_ ? tokens - window_ : 0;
  return !cells_.empty() && cells_.front().position <= static_cast<std::int32_t>(oldest_needed);
}

std::uint64_t FakeSequence::visible_hash() const {
  FakeSequence seen = *this;
  seen.append({});
  for (const Token token : hidden_) seen.cells_.push_back({-1, token});
  return xxh3_64(std::as_bytes(std::span(seen.cells_)));
}

engine::SequenceState FakeSequence::state(std::uint64_t bytes_per_token, std::uint64_t bytes_allocated) const {
  engine::SequenceState state;
  state.tokens = size();
  state.pending_tokens = pending_ ? 1 : 0;
  if (!cells_.empty()) {
    state.first_position = cells_.front().position;
    state.last_position = cells_.back().position;
  }
  state.token_sha256 = sha256_of_tokens(tokens_);
  state.kv_bytes_used = cells_.size() * bytes_per_token;
  state.kv_bytes_allocated = bytes_allocated;
  return state;
}

}  // namespace bulkhead::engines::fake
