// SPDX-License-Identifier: MIT
// An HTTP server as a child process on loopback: what the peers of a bench have in common.
#pragma once

#include "base/result.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::bench {

// What a server says of one completion.
struct Completion {
  std::string text;
  std::uint32_t prompt_tokens = 0;  // evaluated anew
  std::uint32_t cached_tokens = 0;  // taken from its cache
  std::uint32_t predicted_tokens = 0;
};

// A port nobody listens on right now.
[[nodiscard]] int free_port();

class ChildServer {
 public:
  // Starts `argv` (argv[0]: a path), which is to listen on `port` of loopback, and waits until GET /health answers 200.
  // kUsage: it cannot be started; kRemote: it ended, or was not healthy after `patience`.
  [[nodiscard]] static Result<std::unique_ptr<ChildServer>> start(std::vector<std::string> argv, int port,
                                                                  std::chrono::seconds patience);
  ChildServer(const ChildServer&) = delete;
  ChildServer& operator=(const ChildServer&) = delete;
  ~ChildServer();  // ends the process it started

 private:
  explicit ChildServer(int pid) : pid_(pid) {}
  int pid_;  // 0: it has ended
};

}  // namespace bulkhead::bench
