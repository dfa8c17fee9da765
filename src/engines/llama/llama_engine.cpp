// SPDX-License-Identifier: MIT
#include "engines/llama/llama_engine.h"

namespace bulkhead::engines::llama {

Result<std::unique_ptr<engine::Engine>> make_llama_engine(const ModelOptions& options) {
  return Error{ErrorCode::kUnsupported, "the llama engine is being written", options.path, {}};
}

}  // namespace bulkhead::engines::llama
