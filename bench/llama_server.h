// SPDX-License-Identifier: MIT
// A llama-server child process on loopback, and completions from it: the peer of the main-job benchmark.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::bench {

struct Completion {
  std::string text;
  std::uint32_t prompt_tokens = 0;  // evaluated anew
  std::uint32_t cached_tokens = 0;  // taken from its cache
  std::uint32_t predicted_tokens = 0;
};

class LlamaServer {
 public:
  // Starts `program` with `arguments` on a free port and waits until it is healthy (two minutes at most).
  [[nodiscard]] static Result<std::unique_ptr<LlamaServer>> start(const std::string& program,
                                                                  std::vector<std::string> arguments);
  LlamaServer(const LlamaServer&) = delete;
  LlamaServer& operator=(const LlamaServer&) = delete;
  ~LlamaServer();  // ends the process it started

  // One completion of exactly `new_tokens` tokens. Safe to call from several threads.
  [[nodiscard]] Result<Completion> complete(const std::vector<std::int32_t>& prompt, std::uint32_t new_tokens,
                                            bool cache_prompt, std::uint32_t seed) const;

 private:
  LlamaServer(int pid, int port) : pid_(pid), port_(port) {}
  int pid_;
  int port_;
};

}  // namespace bulkhead::bench
