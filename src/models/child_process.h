// SPDX-License-Identifier: MIT
// Runs another program and waits for it. No shell sees the arguments.
#pragma once

#include "base/result.h"

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::models {

struct ChildCommand {
  std::vector<std::string> arguments;                          // [0] is the program, found by PATH
  std::vector<std::pair<std::string, std::string>> variables;  // on top of our own environment
  std::filesystem::path append_output_to;                      // file for its stdout; empty: thrown away
};

struct ChildOutcome {
  int exit_code = 0;   // 128 + signal number when a signal ended it
  std::string errors;  // the last 4 KiB of its stderr
};

// Runs `command` with an empty stdin until it ends. `tick` (may be empty) is called about ten times a second. When
// `stop` is requested, the child and its own children get SIGTERM, after 2 s SIGKILL: kInterrupted. kRemote when the
// program cannot be started. Callable from any thread.
[[nodiscard]] Result<ChildOutcome> run_child(const ChildCommand& command, const std::function<void()>& tick,
                                             const std::stop_token& stop);

}  // namespace bulkhead::models
