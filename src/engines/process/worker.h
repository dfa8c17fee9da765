// SPDX-License-Identifier: MIT
// The child's side of the worker protocol (docs/worker-protocol.md): an engine, served over two descriptors.
#pragma once

#include "engine/engine.h"

namespace bulkhead::engines::process {

// Reads requests from `in` and answers on `out`, which nothing else may write to, until `in` ends: then this process
// ends with 0, whatever it computes. It ends with 6 when what it reads is not the protocol. Engines come out of
// `registry`.
[[noreturn]] void serve(int in, int out, const engine::Registry& registry);

}  // namespace bulkhead::engines::process
