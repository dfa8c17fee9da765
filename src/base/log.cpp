// SPDX-License-Identifier: MIT
#include "base/log.h"

#include "base/console.h"

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <memory>
#include <string>
#include <string_view>

namespace bulkhead::log {
namespace {

// Messages quote input and other programs: they go the way of everything on stderr.
class ConsoleSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const auto level = spdlog::level::to_string_view(message.level);
    console::say("{}: {}", std::string_view(level.data(), level.size()),
                 std::string_view(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}
};

}  // namespace

spdlog::logger& get() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("bulkhead", std::make_shared<ConsoleSink>());
    made->set_error_handler([](const std::string&) {});  // a message that cannot be made ends no work
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
