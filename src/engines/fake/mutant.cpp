// SPDX-License-Identifier: MIT
#include "engines/fake/mutant.h"

#include "engines/fake/fake_draws.h"

#include <algorithm>
#include <array>
#include <ranges>

namespace bulkhead::engines::fake {
namespace {

using engine::Token;

constexpr std::array<MutantInfo, 20> kMutants = {{
    {Mutant::kStaleRoom, "D1", "stale_room", "a recycled room still holds its old owner's cells, and draws see them"},
    {Mutant::kUnsyncedInputs, "D2", "unsynced_inputs", "a row's input is overwritten by the next row's"},
    {Mutant::kWarmSlot, "D3", "warm_slot", "a new sequence begins with what the last closed one held"},
    {Mutant::kShallowTrim, "D4", "shallow_trim", "a fork at an earlier token shares its source's cells"},
    {Mutant::kRowsMixedUp, "D5", "rows_mixed_up", "from three rows on, each gets its neighbour's logits"},
    {Mutant::kSharedCache, "D6", "shared_cache", "a fork at the end is the same cache object as its source"},
    {Mutant::kDroppedKey, "D7", "dropped_key", "a prefill is found in the cache because another owner computed it"},
    {Mutant::kHalfWritten, "D11", "half_written", "a failed write leaves cells that the next owner of the room sees"},
    {Mutant::kMaskedCells, "D12", "masked_cells", "draws read one cell of another sequence"},
    {Mutant::kSharedStaging, "D13", "shared_staging", "forks pass through one buffer that keeps a longer one's tail"},
    {Mutant::kSharedOverflow, "D14", "shared_overflow", "one request that is refused fails its whole batch"},
    {Mutant::kWrongSequence, "M1", "wrong_sequence", "with three open, a prefill reaches the next sequence"},
    {Mutant::kOffByOnePosition, "M2", "off_by_one_position", "a prefill behind another one's leaves a position out"},
    {Mutant::kSwappedResults, "M3", "swapped_results", "results come in the order of ids, not of requests"},
    {Mutant::kMessageToAll, "M4", "message_to_all", "what is appended to one is appended to all"},
    {Mutant::kSharedGenerator, "M5", "shared_generator", "all sequences draw from one random generator"},
    {Mutant::kWrongForkSource, "M6", "wrong_fork_source", "a fork copies the youngest sequence, not its source"},
    {Mutant::kNeighbourLength, "M7", "neighbour_length", "draws depend on how many cells the others hold"},
    {Mutant::kCloseClearsNeighbour, "M8", "close_clears_neighbour", "closing one drops a token of another"},
    {Mutant::kWrongRestore, "M9", "wrong_restore", "a restore also reaches the oldest other partition"},
}};

void hide_all(FakeSequence& sequence, std::span<const Token> tokens) {
  for (const Token token : tokens) sequence.hide(token);
}

bool usable(const FakeSequence& sequence) {
  return !sequence.poisoned && sequence.size() > 0;
}

}  // namespace

std::span<const MutantInfo> mutants() noexcept {
  return kMutants;
}

std::optional<Mutant> find_mutant(std::string_view id_or_name) noexcept {
  for (const auto& info : kMutants) {
    if (info.id == id_or_name || info.name == id_or_name) return info.mutant;
  }
  return std::nullopt;
}

void Sabotage::after_open(FakeSequence& made) {
  switch (mutant_) {
    case Mutant::kStaleRoom:
    case Mutant::kHalfWritten: hide_all(made, left_behind_); break;
    case Mutant::kWarmSlot:
      // It must still have room for something, or it would be refused and noticed at once.
      if (left_behind_.size() < made.capacity() / 2) made.append(left_behind_);
      break;
    default: return;
  }
  left_behind_.clear();
}

const FakeSequence& Sabotage::fork_source(const FakeSequence& source, const Sequences& all) const {
  if (mutant_ != Mutant::kWrongForkSource) return source;
  for (const auto& [id, other] : std::views::reverse(all)) {
    if (usable(other) && other.size() >= source.size()) return other;
  }
  return source;
}

void Sabotage::after_fork(FakeSequence& source, FakeSequence& made, std::uint32_t tokens) {
  const bool whole = tokens == source.size();
  if (mutant_ == Mutant::kShallowTrim && !whole) share(source.number, made.number);
  if (mutant_ == Mutant::kSharedCache && whole) share(source.number, made.number);
  if (mutant_ != Mutant::kSharedStaging) return;
  if (staging_.size() > tokens) hide_all(made, std::span(staging_).subspan(tokens));
  std::copy_n(made.tokens().begin(), std::min<std::size_t>(tokens, staging_.size()), staging_.begin());
  if (staging_.size() < tokens) staging_ = made.tokens();
}

FakeSequence& Sabotage::prefill_target(FakeSequence& target, Sequences& all) const {
  if (mutant_ != Mutant::kWrongSequence || all.size() < 3) return target;
  auto next = std::find_if(all.begin(), all.end(), [&](const auto& entry) { return &entry.second == &target; });
  if (++next == all.end()) next = all.begin();
  return next->second.poisoned ? target : next->second;
}

std::uint32_t Sabotage::after_prefill(FakeSequence& target, std::span<const Token> tokens, Sequences& all) {
  pass_on(target, tokens, all);
  const auto count = static_cast<std::uint32_t>(tokens.size());
  switch (mutant_) {
    case Mutant::kMessageToAll:
      for (auto& [id, other] : all) {
        if (&other != &target && usable(other)) hide_all(other, tokens);
      }
      return count;
    case Mutant::kOffByOnePosition:
      // As if the counter of positions were one for all.
      if (steps_ != 0 && steps_ != target.number + 1) target.skip_position();
      steps_ = target.number + 1;
      return count;
    case Mutant::kDroppedKey: {
      const std::vector<Token> asked(tokens.begin(), tokens.end());
      if (std::find(seen_before_.begin(), seen_before_.end(), asked) != seen_before_.end()) return 0;
      seen_before_.push_back(asked);
      return count;
    }
    default: return count;
  }
}

void Sabotage::after_cancelled_prefill(std::span<const Token> tokens) {
  if (mutant_ != Mutant::kHalfWritten) return;
  const auto half = tokens.first((tokens.size() + 1) / 2);
  left_behind_.assign(half.begin(), half.end());
}

void Sabotage::after_restore(FakeSequence& made, Sequences& all) const {
  if (mutant_ != Mutant::kWrongRestore) return;
  for (auto& [id, other] : all) {
    if (&other == &made || !usable(other) || made.size() > other.capacity()) continue;
    return other.take(made);
  }
}

void Sabotage::before_close(FakeSequence& closing, Sequences& all) {
  if (mutant_ == Mutant::kStaleRoom || mutant_ == Mutant::kWarmSlot) left_behind_ = closing.tokens();
  std::erase_if(partners_, [&](Pair pair) { return pair.one == closing.number || pair.other == closing.number; });
  if (mutant_ != Mutant::kCloseClearsNeighbour) return;
  for (auto& [id, other] : all) {
    if (&other == &closing || !usable(other)) continue;
    return other.truncate(other.size() - 1);
  }
}

std::uint64_t Sabotage::seen(std::uint64_t seen, std::span<FakeSequence* const> rows, std::size_t row,
                             const Sequences& all) const {
  const FakeSequence& next = *rows[(row + 1) % rows.size()];
  switch (mutant_) {
    case Mutant::kUnsyncedInputs:
      return rows.size() < 2 ? seen : mix(seen, static_cast<std::uint64_t>(next.tokens().back()));
    case Mutant::kRowsMixedUp: return rows.size() < 3 ? seen : next.visible_hash();
    case Mutant::kMaskedCells:
      for (const auto& [id, other] : all) {
        if (&other != rows[row] && usable(other)) return mix(seen, static_cast<std::uint64_t>(other.tokens().front()));
      }
      return seen;
    case Mutant::kNeighbourLength: {
      // As a buffer for all that is padded to a multiple of 64 cells.
      std::uint64_t cells = 0;
      for (const auto& [id, other] : all) cells += other.size();
      return cells <= 64 ? seen : mix(seen, cells / 64);
    }
    default: return seen;
  }
}

void Sabotage::after_draw(const FakeSequence& drawn, Token token, Sequences& all) {
  pass_on(drawn, {&token, 1}, all);
}

std::uint32_t Sabotage::generator_step(std::uint32_t index) {
  return mutant_ == Mutant::kSharedGenerator ? steps_++ : index;
}

void Sabotage::pass_on(const FakeSequence& from, std::span<const Token> tokens, Sequences& all) const {
  for (const auto& pair : partners_) {
    if (pair.one != from.number && pair.other != from.number) continue;
    const auto partner = pair.one == from.number ? pair.other : pair.one;
    for (auto& [id, other] : all) {
      if (other.number == partner) hide_all(other, tokens);
    }
  }
}

}  // namespace bulkhead::engines::fake
