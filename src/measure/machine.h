// SPDX-License-Identifier: MIT
// The machine a number was measured on.
#pragma once

#include <cstdint>
#include <string>

namespace bulkhead::measure {

struct Machine {
  std::string cpu;                 // model name, else the architecture
  std::uint32_t cores = 0;         // logical ones this process may run on
  std::uint64_t memory_bytes = 0;  // physical
  std::string os;                  // "Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64"
};

// Linux and macOS. A fact the system does not give is "unknown" or 0. Any thread.
[[nodiscard]] Machine this_machine();

}  // namespace bulkhead::measure
