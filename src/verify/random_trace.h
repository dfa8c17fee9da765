// SPDX-License-Identifier: MIT
// Random traces: every action of the seam or of the public surface, in orders nobody would write down. The same seed
// gives the same trace on every system.
#pragma once

#include "verify/trace.h"

#include <cstdint>

namespace bulkhead::verify {

struct TraceShape {
  std::uint32_t most_partitions = 7;    // 2 at least
  std::uint32_t most_actions = 28;      // 6 at least
  std::uint32_t most_words = 12;        // of one text
  std::uint32_t most_new_tokens = 8;    // of one generation
  std::uint32_t capacity = 192;         // of a partition, at most
  std::uint32_t most_cancel_us = 2000;  // of a cancellation that comes in the middle of a computation
  std::uint32_t long_one_in = 0;        // so often a text is long: up to `long_words`, and a quarter of that at least
  std::uint32_t long_words = 0;
  // Actions that the public surface offers, and those that it must refuse, in place of the engine seam's.
  bool surface = false;
};

[[nodiscard]] Trace random_trace(std::uint64_t seed, const TraceShape& shape);

}  // namespace bulkhead::verify
