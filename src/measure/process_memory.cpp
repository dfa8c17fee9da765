// SPDX-License-Identifier: MIT
#include "measure/process_memory.h"

#if defined(__APPLE__)
#include <mach/mach.h>
#include <sys/resource.h>
#else
#include <fstream>
#include <limits>
#include <string>
#endif

namespace bulkhead::measure {

#if defined(__APPLE__)

ProcessMemory process_memory() {
  ProcessMemory memory;
  mach_task_basic_info info{};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count) == KERN_SUCCESS) {
    memory.current_bytes = info.resident_size;
  }
  rusage usage{};
  // Bytes here; Linux counts kilobytes.
  if (getrusage(RUSAGE_SELF, &usage) == 0) memory.peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss);
  return memory;
}

#else

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key; status.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
    std::uint64_t kilobytes = 0;
    if (key == "VmRSS:" && status >> kilobytes) memory.current_bytes = kilobytes * 1024;
    if (key == "VmHWM:" && status >> kilobytes) memory.peak_bytes = kilobytes * 1024;
  }
  return memory;
}

#endif

}  // namespace bulkhead::measure
