// SPDX-License-Identifier: MIT
// How much memory is left to take.
#pragma once

#include <cstdint>

namespace bulkhead::measure {

// Bytes that can be allocated without swapping: what the system calls available, within the limit of the cgroup.
[[nodiscard]] std::uint64_t available_memory();

}  // namespace bulkhead::measure
