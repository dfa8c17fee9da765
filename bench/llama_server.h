// SPDX-License-Identifier: MIT
// llama-server as a peer of the main-job bench.
#pragma once

#include "child_server.h"

namespace bulkhead::bench {

class LlamaServer {
 public:
  // Starts `program` with `arguments` on a free port and waits until it is healthy (two minutes at most).
  [[nodiscard]] static Result<LlamaServer> start(const std::string& program, std::vector<std::string> arguments);

  // One completion of exactly `new_tokens` tokens. Safe to call from several threads.
  [[nodiscard]] Result<Completion> complete(const std::vector<std::int32_t>& prompt, std::uint32_t new_tokens,
                                            bool cache_prompt, std::uint32_t seed) const;

 private:
  LlamaServer(std::unique_ptr<ChildServer> process, int port) : process_(std::move(process)), port_(port) {}
  std::unique_ptr<ChildServer> process_;
  int port_;
};

}  // namespace bulkhead::bench
