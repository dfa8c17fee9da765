// SPDX-License-Identifier: MIT
// Makes a failing trace small: the fewest actions, members and words that still fail.
#pragma once

#include "verify/trace.h"

#include <cstdint>
#include <functional>

namespace bulkhead::verify {

// Whether a trace still shows what is looked for. Must give the same answer for the same trace.
using StillFails = std::function<bool(const Trace&)>;

struct Shrunk {
  Trace trace;
  std::uint64_t tries = 0;
  bool minimal = false;  // no single action can be left out; false: the tries ran out before that was known
};

// `trace` must fail. Asks `still_fails` at most `most_tries` times.
[[nodiscard]] Shrunk shrink(const Trace& trace, const StillFails& still_fails, std::uint64_t most_tries);

}  // namespace bulkhead::verify
