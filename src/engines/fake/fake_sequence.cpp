// SPDX-License-Identifier: MIT
#include "engines/fake/fake_sequence.h"

#include "base/bytes.h"
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
  pending_ = tokens > 0;
  const auto cells = static_cast<std::int32_t>(tokens) - (pending_ ? 1 : 0);
  std::erase_if(cells_, [&](const Cell& cell) { return cell.position >= cells; });
}

void FakeSequence::take(const FakeSequence& other) {
  tokens_ = other.tokens_;
  cells_ = other.cells_;
  hidden_ = other.hidden_;
  pending_ = other.pending_;
}

std::vector<std::byte> FakeSequence::to_bytes() const {
  ByteWriter writer;
  writer.number(std::uint32_t{pending_ ? 1U : 0U});
  writer.number(skipped_);
  writer.number(static_cast<std::uint32_t>(cells_.size()));
  for (const Cell& cell : cells_) {
    writer.number(cell.position);
    writer.number(cell.token);
  }
  writer.number(static_cast<std::uint32_t>(hidden_.size()));
  writer.list(std::span<const Token>(hidden_));
  return std::move(writer).take();
}

bool FakeSequence::take(std::vector<Token> tokens, std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const auto pending = reader.number<std::uint32_t>();
  const auto skipped = reader.number<std::int32_t>();
  const auto count = reader.number<std::uint32_t>();
  std::vector<Cell> cells;
  for (std::uint32_t i = 0; i < count && !reader.failed(); ++i) {
    const auto position = reader.number<std::int32_t>();
    cells.push_back({position, reader.number<Token>()});
  }
  auto hidden = reader.list<Token>(reader.number<std::uint32_t>());
  if (reader.failed() || reader.left() != 0) return false;
  tokens_ = std::move(tokens);
  cells_ = std::move(cells);
  hidden_ = std::move(hidden);
  skipped_ = skipped;
  pending_ = pending != 0;
  return true;
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
