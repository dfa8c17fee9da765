// SPDX-License-Identifier: MIT
// Conversations as a list of messages with a role and a content: OpenAI's chat messages and ShareGPT. Both are read by
// one reader, since data sets mix their words; what they are called decides nothing but the name of the format.
#pragma once

#include "dataset/conversation_builder.h"

#include <optional>
#include <string_view>

namespace bulkhead::dataset {

// {"messages": [...]}, or the list itself: its first element has a role.
[[nodiscard]] bool is_openai(const JsonView& value);
// {"conversations": [...]} or {"conversation": [...]}.
[[nodiscard]] bool is_sharegpt(const JsonView& value);

// kBadInput with file, line and field: an unknown role, content of another type, sizes over the limits.
[[nodiscard]] Result<Conversation> read_openai(const JsonView& value, std::size_t number, Notices& notices);
[[nodiscard]] Result<Conversation> read_sharegpt(const JsonView& value, std::size_t number, Notices& notices);

// Our role for a word of these formats; none when the word is not known.
[[nodiscard]] std::optional<std::string_view> role_of(std::string_view word) noexcept;

}  // namespace bulkhead::dataset
