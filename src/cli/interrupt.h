// SPDX-License-Identifier: MIT
// Ctrl-C, SIGTERM and SIGHUP (the terminal closed) become a stop request: work ends at the next step and what is there
// is kept.
#pragma once

#include <stop_token>

namespace bulkhead::cli {

// From here on these signals come to one thread of their own. Call it before anything starts a thread: one that was
// there before would take signals away from it. Until somebody asks for stop_on_signal() they do what they do to any
// program.
void catch_signals();

// The token that they stop, once per process. A second SIGINT or SIGTERM ends the process at once. SIGHUP stays ignored
// where it was, as under nohup.
[[nodiscard]] std::stop_token stop_on_signal();

// As long as it lives, Ctrl-C (SIGINT) requests `source` and nothing else, as often as it comes. One at a time.
class InterruptsGoTo {
 public:
  explicit InterruptsGoTo(std::stop_source source);
  InterruptsGoTo(const InterruptsGoTo&) = delete;
  InterruptsGoTo& operator=(const InterruptsGoTo&) = delete;
  ~InterruptsGoTo();
};

// 130 after SIGINT, 143 after SIGTERM, 129 after SIGHUP, 0 if there was none.
[[nodiscard]] int signal_exit_code() noexcept;

}  // namespace bulkhead::cli
