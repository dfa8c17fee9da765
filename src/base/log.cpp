// SPDX-License-Identifier: MIT
#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>

namespace bulkhead::log {

spdlog::logger& get() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = spdlog::stderr_color_mt("bulkhead");
    made->set_pattern("%^%l%$: %v");
    made->set_level(spdlog::level::warn);
    return made;
  }();
  return *logger;
}

void set_verbosity(Verbosity verbosity) {
  switch (verbosity) {
    case Verbosity::kQuiet: get().set_level(spdlog::level::err); return;
    case Verbosity::kNormal: get().set_level(spdlog::level::warn); return;
    case Verbosity::kVerbose: get().set_level(spdlog::level::info); return;
    case Verbosity::kDebug: get().set_level(spdlog::level::debug); return;
  }
}

}  // namespace bulkhead::log
