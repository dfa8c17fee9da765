// SPDX-License-Identifier: MIT
#include "measure/machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <thread>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#else
#include <fstream>
#include <string_view>
#endif

namespace bulkhead::measure {
namespace {

#if defined(__APPLE__)

std::string system_text(const char* name) {
  std::string text(256, '\0');
  std::size_t size = text.size();
  if (sysctlbyname(name, text.data(), &size, nullptr, 0) != 0 || size == 0) return {};
  text.resize(size - 1);
  return text;
}

std::string cpu_model() {
  return system_text("machdep.cpu.brand_string");
}

std::string distribution() {
  const std::string version = system_text("kern.osproductversion");
  return version.empty() ? std::string() : "macOS " + version;
}

#else

// The value of the first line "KEY<space>SEPARATOR<space>VALUE", without quotes.
std::string value_in(const char* path, std::string_view key, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto mark = line.find(separator);
    if (!line.starts_with(key) || mark == std::string::npos) continue;
    if (line.find_first_not_of(" \t", key.size()) != mark) continue;
    const auto begin = line.find_first_not_of(" \t\"", mark + 1);
    if (begin == std::string::npos) return {};
    return line.substr(begin, line.find_last_not_of(" \t\"") - begin + 1);
  }
  return {};
}

std::string cpu_model() {
  return value_in("/proc/cpuinfo", "model name", ':');
}

std::string distribution() {
  return value_in("/etc/os-release", "PRETTY_NAME", '=');
}

#endif

std::uint64_t physical_memory() {
#if defined(__APPLE__)
  std::uint64_t bytes = 0;
  std::size_t size = sizeof(bytes);
  return sysctlbyname("hw.memsize", &bytes, &size, nullptr, 0) == 0 ? bytes : 0;
#else
  const auto pages = sysconf(_SC_PHYS_PAGES);
  const auto page_bytes = sysconf(_SC_PAGESIZE);
  if (pages < 0 || page_bytes < 0) return 0;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
#endif
}

}  // namespace

Machine this_machine() {
  Machine machine;
  utsname names{};
  const bool named = uname(&names) == 0;
  machine.cpu = cpu_model();
  if (machine.cpu.empty())
    machine.cpu = named ? std::string(&names.machine[0]) : "unknown";  // ARM Linux names no model
  machine.cores = std::thread::hardware_concurrency();
  machine.memory_bytes = physical_memory();
  machine.os = distribution();
  if (named) {
    if (!machine.os.empty()) machine.os += ", ";
    machine.os += std::string(&names.sysname[0]) + " " + &names.release[0] + " " + &names.machine[0];
  }
  if (machine.os.empty()) machine.os = "unknown";
  return machine;
}

}  // namespace bulkhead::measure
