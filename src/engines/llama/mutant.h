// SPDX-License-Identifier: MIT
// Mutants: defects that crossed from one sequence to another in real engines (docs/isolation.md has the catalogue),
// made again where they would be made here. They prove that the tests of isolation have teeth: each must be caught.
//
// Compiled in with BULKHEAD_MUTANTS only (preset dev); elsewhere mutant() is false at compile time and leaves no code.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace bulkhead::engines::llama {

enum class Mutant {
  kNone,
  kStaleRoom,             // D1: a room goes to its next owner as it is
  kUnsyncedInputs,        // D2: a row's token is overwritten by the next row's
  kWarmSlot,              // D3: a new sequence begins with what the last closed one held
  kShallowTrim,           // D4: a fork at an earlier token keeps the cells behind it
  kRowsMixedUp,           // D5: from three rows on, each gets its neighbour's logits
  kSharedCache,           // D6: a fork writes into the cells of its source
  kHalfWritten,           // D11: what a failed or refused computation wrote stays
  kOverread,              // D12: a row's logits are moved by what its neighbour holds
  kSharedStaging,         // D13: what is copied out passes through one buffer that keeps its last bytes
  kSharedOverflow,        // D14: one refused request fails its whole batch
  kWrongSequence,         // M1: a prefill reaches the next room
  kOffByOnePosition,      // M2: a text begins one position too late where others are open
  kSwappedResults,        // M3: results in the order of rooms, not of requests
  kMessageToAll,          // M4: what is appended to one is appended to all
  kSharedGenerator,       // M5: one random generator for all
  kWrongForkSource,       // M6: a fork copies the youngest sequence
  kNeighbourLength,       // M7: a row's logits depend on how long the others of its batch are
  kCloseClearsNeighbour,  // M8: closing one drops the newest cell of the next room
  kRestoreToAll,          // M9: a restore also reaches the oldest other sequence
  kCancelEndsAll,         // M10: one request's cancellation ends its whole batch
  kUnscrubbedPage,        // M14: a page goes to its next owner with what it held
  kWindowTooEarly,        // M15: a window's page is given back while tokens still see it
};

// Those that random traces kill. M14 shows under a guard, M15 against libllama's own cache only: a sequence alone has
// it too (tests/engines/llama_pages_test.cpp).
inline constexpr std::array<std::pair<std::string_view, Mutant>, 20> kMutants = {
    {{"D1", Mutant::kStaleRoom},       {"D2", Mutant::kUnsyncedInputs},  {"D3", Mutant::kWarmSlot},
     {"D4", Mutant::kShallowTrim},     {"D5", Mutant::kRowsMixedUp},     {"D6", Mutant::kSharedCache},
     {"D11", Mutant::kHalfWritten},    {"D12", Mutant::kOverread},       {"D13", Mutant::kSharedStaging},
     {"D14", Mutant::kSharedOverflow}, {"M1", Mutant::kWrongSequence},   {"M2", Mutant::kOffByOnePosition},
     {"M3", Mutant::kSwappedResults},  {"M4", Mutant::kMessageToAll},    {"M5", Mutant::kSharedGenerator},
     {"M6", Mutant::kWrongForkSource}, {"M7", Mutant::kNeighbourLength}, {"M8", Mutant::kCloseClearsNeighbour},
     {"M9", Mutant::kRestoreToAll},    {"M10", Mutant::kCancelEndsAll}}};

#if defined(BULKHEAD_MUTANTS)
// Of the whole process; not while an engine computes.
inline Mutant active_mutant = Mutant::kNone;
[[nodiscard]] inline bool mutant(Mutant which) noexcept {
  return active_mutant == which;
}
#else
[[nodiscard]] constexpr bool mutant(Mutant /*which*/) noexcept {
  return false;
}
#endif

}  // namespace bulkhead::engines::llama
