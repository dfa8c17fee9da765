// SPDX-License-Identifier: MIT
// Mutants: defects that crossed from one sequence to another in real engines (docs/isolation.md has the catalogue),
// retold on the fake engine. They prove that the tests of isolation have teeth: each must be caught.
#pragma once

#include "engine/engine.h"
#include "engines/fake/fake_sequence.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace bulkhead::engines::fake {

enum class Mutant {
  kNone,
  kStaleRoom,
  kUnsyncedInputs,
  kWarmSlot,
  kShallowTrim,
  kRowsMixedUp,
  kSharedCache,
  kDroppedKey,
  kHalfWritten,
  kMaskedCells,
  kSharedStaging,
  kSharedOverflow,
  kWrongSequence,
  kOffByOnePosition,
  kSwappedResults,
  kMessageToAll,
  kSharedGenerator,
  kWrongForkSource,
  kNeighbourLength,
  kCloseClearsNeighbour,
  kWrongRestore,
};

struct MutantInfo {
  Mutant mutant;
  std::string_view id;     // "D1"; "M1" and so on where the catalogue has no number
  std::string_view name;   // "stale_room"
  std::string_view story;  // what goes wrong
};

// All but kNone, in the order above.
[[nodiscard]] std::span<const MutantInfo> mutants() noexcept;

// By id or name; none if unknown.
[[nodiscard]] std::optional<Mutant> find_mutant(std::string_view id_or_name) noexcept;

// Does one mutant's harm at the places where the engine calls it. With kNone every call does nothing.
class Sabotage {
 public:
  using Sequences = std::map<engine::SequenceId, FakeSequence>;

  explicit Sabotage(Mutant mutant) : mutant_(mutant) {}

  void after_open(FakeSequence& made);
  // Which sequence a fork of `source` is taken from.
  [[nodiscard]] const FakeSequence& fork_source(const FakeSequence& source, const Sequences& all) const;
  void after_fork(FakeSequence& source, FakeSequence& made, std::uint32_t tokens);
  // Whom a prefill meant for `target` reaches.
  [[nodiscard]] FakeSequence& prefill_target(FakeSequence& target, Sequences& all) const;
  // After `target` got `tokens`; gives how many the engine reports as computed.
  [[nodiscard]] std::uint32_t after_prefill(FakeSequence& target, std::span<const engine::Token> tokens,
                                            Sequences& all);
  void after_cancelled_prefill(std::span<const engine::Token> tokens);
  void after_restore(FakeSequence& made, Sequences& all) const;
  void before_close(FakeSequence& closing, Sequences& all);
  // What a draw sees in place of `seen`. `row` of `rows` is the sequence's place in the batch.
  [[nodiscard]] std::uint64_t seen(std::uint64_t seen, std::span<FakeSequence* const> rows, std::size_t row,
                                   const Sequences& all) const;
  void after_draw(const FakeSequence& drawn, engine::Token token, Sequences& all);
  // The number that the draw `index` of a generation takes from its generator.
  [[nodiscard]] std::uint32_t generator_step(std::uint32_t index);
  [[nodiscard]] bool one_failure_fails_all() const noexcept { return mutant_ == Mutant::kSharedOverflow; }
  [[nodiscard]] bool results_in_order_of_ids() const noexcept { return mutant_ == Mutant::kSwappedResults; }

 private:
  void share(std::uint32_t one, std::uint32_t other) { partners_.push_back({one, other}); }
  void pass_on(const FakeSequence& from, std::span<const engine::Token> tokens, Sequences& all) const;

  struct Pair {
    std::uint32_t one;
    std::uint32_t other;
  };

  Mutant mutant_;
  std::vector<engine::Token> left_behind_;               // in a room whose owner is gone
  std::vector<engine::Token> staging_;                   // of the last fork
  std::vector<Pair> partners_;                           // numbers of sequences that share one cache
  std::vector<std::vector<engine::Token>> seen_before_;  // prefills, whoever asked for them
  std::uint32_t steps_ = 0;                              // of one generator for all
};

}  // namespace bulkhead::engines::fake
