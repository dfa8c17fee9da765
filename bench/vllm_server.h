// SPDX-License-Identifier: MIT
// vLLM on the CPU as a peer of the main-job bench: a child process of scripts/vllm.sh, or a server that runs already.
#pragma once

#include "child_server.h"

#include <string_view>

namespace bulkhead::bench {

class VllmServer {
 public:
  // `where` is http://127.0.0.1:PORT of a running server, else a checkpoint folder (scripts/vllm.sh convert), which is
  // served by `script` with `threads` threads; that takes a minute (ten at most). kUsage: neither.
  [[nodiscard]] static Result<VllmServer> open(const std::string& where, const std::string& script,
                                               std::uint32_t threads);

  [[nodiscard]] const std::string& version() const { return version_; }

  // One completion of exactly `new_tokens` tokens. Prompts share cached prefixes with those of the same `salt` only.
  // Safe to call from several threads.
  [[nodiscard]] Result<Completion> complete(const std::vector<std::int32_t>& prompt, std::uint32_t new_tokens,
                                            std::string_view salt) const;

 private:
  VllmServer(std::unique_ptr<ChildServer> process, int port) : process_(std::move(process)), port_(port) {}
  [[nodiscard]] Result<void> ask_its_facts();

  std::unique_ptr<ChildServer> process_;  // null: it was there before
  int port_;
  std::string model_ = {};  // what it calls the model it serves
  std::string version_ = {};
};

}  // namespace bulkhead::bench
