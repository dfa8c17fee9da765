// SPDX-License-Identifier: MIT
// Ctrl-C, SIGTERM and SIGHUP (the terminal closed) become a stop request: work ends at the next step and what is there
// is kept.
#pragma once

#include <stop_token>

namespace bulkhead::cli {

// Installs the handlers, once per process, and gives the token they stop. A second SIGINT or SIGTERM ends the process
// at once. SIGHUP stays ignored where it was, as under nohup.
[[nodiscard]] std::stop_token stop_on_signal();

// 130 after SIGINT, 143 after SIGTERM, 129 after SIGHUP, 0 if there was none.
[[nodiscard]] int signal_exit_code() noexcept;

}  // namespace bulkhead::cli
