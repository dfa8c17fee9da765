// SPDX-License-Identifier: MIT
// How fast this machine reads memory: the bound of decoding one sequence, which reads every weight once per token.
#pragma once

#include <cstdint>

namespace bulkhead::bench {

struct Bandwidth {
  double bytes_per_second = 0;     // best pass
  std::uint64_t buffer_bytes = 0;  // all threads together; several times the largest cache
};

// Reads a buffer from end to end with `threads` threads, `passes` times. Takes about a second.
[[nodiscard]] Bandwidth measure_read_bandwidth(std::uint32_t threads, std::uint32_t passes);

}  // namespace bulkhead::bench
