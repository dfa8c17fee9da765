// SPDX-License-Identifier: MIT
#include "measure/available_memory.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::measure {
namespace {

#if defined(__linux__)
// The number that follows `key` in a file of lines such as "key 123" or "key: 123 kB".
std::optional<std::uint64_t> number_after(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const auto begin = line.find_first_of("0123456789", key.size());
    std::uint64_t value = 0;
    if (begin == std::string::npos) return std::nullopt;
    const auto parsed = std::from_chars(line.data() + begin, line.data() + line.size(), value);
    if (parsed.ec == std::errc()) return value;
    return std::nullopt;
  }
  return std::nullopt;
}

std::uint64_t cgroup_memory() {
  const auto limit = number_after("/sys/fs/cgroup/memory.max", "");
  const auto used = number_after("/sys/fs/cgroup/memory.current", "");
  if (!limit || !used) return std::numeric_limits<std::uint64_t>::max();
  // File pages count as used but are given back when memory runs short.
  const auto files = number_after("/sys/fs/cgroup/memory.stat", "inactive_file").value_or(0);
  const auto held = *used > files ? *used - files : 0;
  return *limit > held ? *limit - held : 0;
}
#endif

}  // namespace

std::uint64_t available_memory() {
#if defined(__linux__)
  if (const auto kilobytes = number_after("/proc/meminfo", "MemAvailable:")) {
    return std::min(*kilobytes * 1024, cgroup_memory());
  }
#endif
  const auto pages = sysconf(_SC_PHYS_PAGES);
  const auto page_bytes = sysconf(_SC_PAGESIZE);
  return pages > 0 && page_bytes > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes)
                                     : std::numeric_limits<std::uint64_t>::max();
}

}  // namespace bulkhead::measure
