// SPDX-License-Identifier: MIT
// One call of generate() over one or more workers, which compute at the same time.
#pragma once

#include "engine/engine.h"
#include "engines/worker/worker_link.h"

#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace bulkhead::engines::worker {

// A request of the call, and where its sequence lives. Either an error that was found before, or a worker.
struct Part {
  const engine::GenerateRequest* request = nullptr;
  std::optional<Error> refused;
  std::shared_ptr<WorkerLink> worker;
  std::uint32_t sequence = 0;  // the worker's own id
};

// A worker gets all its parts in one request. Without callbacks every worker generates at its own pace. With one, all
// go token by token: no worker draws its next before the callbacks have seen the last one of each. So a callback that
// ends its generation ends it right there, and a cancel that it requests reaches all within one step, as in an engine
// in this process. Callbacks run on this thread. Results in the order of `parts`.
//
// A worker that tells of a token that cannot be, or gives a result that is not made of the tokens it told of, is ended:
// kRemote for all its parts.
[[nodiscard]] std::vector<Result<engine::GenerateResult>> generate(std::span<const Part> parts,
                                                                   const engine::Facts& facts,
                                                                   const engine::Tokenizer& tokenizer);

}  // namespace bulkhead::engines::worker
