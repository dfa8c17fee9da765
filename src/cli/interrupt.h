// SPDX-License-Identifier: MIT
// Ctrl-C and SIGTERM become a stop request: work ends at the next step and what is there is kept.
#pragma once

#include <stop_token>

namespace bulkhead::cli {

// Installs the handlers, once per process, and gives the token they stop. A second signal ends the process at once.
[[nodiscard]] std::stop_token stop_on_signal();

// 130 after SIGINT, 143 after SIGTERM, 0 if there was none.
[[nodiscard]] int signal_exit_code() noexcept;

}  // namespace bulkhead::cli
