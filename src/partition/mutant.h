// SPDX-License-Identifier: MIT
// Mutants of what stands between the public surface and an engine: faults that were there once, made again where they
// were. They prove that traces on the public surface have teeth (verify/surface_run.h).
//
// Compiled in with BULKHEAD_MUTANTS only (preset dev); elsewhere mutant() is false at compile time and leaves no code.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace bulkhead::partition {

enum class Mutant {
  kNone,
  kForeignAccepted,  // M11: nobody asks whose partition it is (the engine's ids must mean something elsewhere, too)
  kRefusedOnBooks,   // M12: a message is booked before it is prefilled
  kStopStays,        // M13: a stop string is cut off the text and stays in the cache
};

inline constexpr std::array<std::pair<std::string_view, Mutant>, 3> kMutants = {
    {{"M11", Mutant::kForeignAccepted}, {"M12", Mutant::kRefusedOnBooks}, {"M13", Mutant::kStopStays}}};

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

}  // namespace bulkhead::partition
