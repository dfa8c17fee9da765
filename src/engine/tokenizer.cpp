// SPDX-License-Identifier: MIT
#include "engine/tokenizer.h"

namespace bulkhead::engine {

Result<ToolChat> Tokenizer::render_tools(const ToolChatRequest& /*request*/) const {
  return Error{ErrorCode::kUnsupported, "this engine renders no tools", "tools", "leave them out"};
}

}  // namespace bulkhead::engine
