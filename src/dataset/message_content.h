// SPDX-License-Identifier: MIT
// The text of a message's content, which may be a list of parts of several kinds, and of the tools that it calls.
#pragma once

#include "dataset/conversation_builder.h"

#include <string>
#include <string_view>

namespace bulkhead::dataset {

// What a part that is no text is called in a notice: "a picture", "a sound recording", "a part of type x".
[[nodiscard]] std::string part_words(std::string_view type);

// A text, null (empty), or a list of texts and parts {"type": "text", "text": ...}, which are joined by line feeds.
// Parts of other types are left out. kBadInput for other types.
[[nodiscard]] Result<std::string> content_text(const JsonView& content, ConversationBuilder& builder);

// The calls in "tool_calls" and "function_call" of `message`, a line each: {"name": "f", "arguments": {...}}.
[[nodiscard]] Result<std::string> tool_calls_text(const JsonView& message, ConversationBuilder& builder);

}  // namespace bulkhead::dataset
