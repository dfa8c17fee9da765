// SPDX-License-Identifier: MIT
// How much memory this process holds, as the system counts it.
#pragma once

#include <cstdint>

namespace bulkhead::measure {

struct ProcessMemory {
  std::uint64_t current_bytes = 0;  // resident now
  std::uint64_t peak_bytes = 0;     // most that was ever resident
};

// Linux: VmRSS and VmHWM of /proc/self/status, memory-mapped model files included once they were read. macOS: the
// task's resident size now, and ru_maxrss of getrusage as the peak. A number the system does not give is 0. Any thread.
[[nodiscard]] ProcessMemory process_memory();

}  // namespace bulkhead::measure
