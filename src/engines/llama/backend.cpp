// SPDX-License-Identifier: MIT
#include "engines/llama/backend.h"

#include "base/log.h"
#include "engines/llama/assertions.h"
#include "engines/llama/kernels/attention_op.h"
#include "engines/llama/kernels/kernels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <llama.h>
#include <log.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <set>
#include <string_view>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace bulkhead::engines::llama {
namespace {

constexpr std::size_t kKeptLines = 3;

thread_local LoggedErrors* innermost = nullptr;  // NOLINT(*-global-variables): the log callback has no other way

// libllama calls this from any of its threads.
void on_log(ggml_log_level level, const char* text, void* /*unused*/) {
  std::string_view line(text);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.remove_suffix(1);
  if (line.empty() || line == ".") return;
  if ((level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN) && innermost != nullptr) {
    innermost->add(std::string(line));
  }
  if (level != GGML_LOG_LEVEL_DEBUG) log::get().debug("llama: {}", line);
}

}  // namespace

void start_backend() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(on_log, nullptr);
    common_log_set_verbosity_thold(-1);  // what common/chat has to say repeats what models and clients say
    catch_assertions();
    kernels::install();
    kernels::install_attention();
    llama_backend_init();
  });
}

LoggedErrors::LoggedErrors() : outer_(innermost) {
  innermost = this;
}

LoggedErrors::~LoggedErrors() {
  innermost = outer_;
}

void LoggedErrors::add(std::string line) {
  if (lines_.size() == kKeptLines) lines_.erase(lines_.begin());
  lines_.push_back(std::move(line));
}

std::string LoggedErrors::text() const {
  return lines_.empty() ? "no reason given" : fmt::format("{}", fmt::join(lines_, "; "));
}

std::uint32_t physical_cores() {
#if defined(__linux__)
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    std::set<std::string> cores;
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed)) continue;
      std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
      std::string siblings;
      // Without topology each CPU counts as a core of its own.
      cores.insert(std::getline(file, siblings) ? siblings : fmt::format("cpu {}", cpu));
    }
    if (!cores.empty()) return static_cast<std::uint32_t>(cores.size());
  }
#endif
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace bulkhead::engines::llama
