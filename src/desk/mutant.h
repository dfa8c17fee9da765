// SPDX-License-Identifier: MIT
// Mutants of the desk: faults that would cross from one owner to another there. They prove that traces on the public
// surface have teeth (verify/surface_run.h).
//
// Compiled in with BULKHEAD_MUTANTS only (preset dev); elsewhere mutant() is false at compile time and leaves no code.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace bulkhead::desk {

enum class Mutant {
  kNone,
  kWrongTicket,  // M16: two jobs that run together get each other's outcome
  kWrongBudget,  // M17: a sequence is charged to another owner
  kIdsOfItsOwn,  // half of M11 (partition/mutant.h), harmless by itself: every desk counts its sequences from 0
};

inline constexpr std::array<std::pair<std::string_view, Mutant>, 2> kMutants = {
    {{"M16", Mutant::kWrongTicket}, {"M17", Mutant::kWrongBudget}}};

#if defined(BULKHEAD_MUTANTS)
// Of the whole process; not while a desk is open.
inline Mutant active_mutant = Mutant::kNone;
[[nodiscard]] inline bool mutant(Mutant which) noexcept {
  return active_mutant == which;
}
#else
[[nodiscard]] constexpr bool mutant(Mutant /*which*/) noexcept {
  return false;
}
#endif

}  // namespace bulkhead::desk
