// SPDX-License-Identifier: MIT
// The libllama engine: sequences of a GGUF model, each with its own cells (grade buffer) or all in one (grade mask).
#pragma once

#include "engine/engine.h"

#include <bulkhead/options.h>

#include <memory>

namespace bulkhead::engines::llama {

// Loads the weights. kUsage: no such file, or an option out of range; kCorrupt: not a GGUF file, or cut short;
// kUnsupported: a GGUF file of an architecture libllama does not know or cannot generate with; kResource: no memory.
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> make_llama_engine(const ModelOptions& options);

}  // namespace bulkhead::engines::llama
