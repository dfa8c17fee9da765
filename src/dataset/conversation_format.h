// SPDX-License-Identifier: MIT
// The formats in which conversations are read: one table, asked in its order which one an object is in. What an object
// holds decides, never the name of its file. docs/conversation-formats.md is the description for users.
#pragma once

#include "dataset/conversation_builder.h"
#include "dataset/dataset.h"

#include <span>
#include <string_view>

namespace bulkhead::dataset {

struct ConversationFormat {
  std::string_view name;   // "openai"
  std::string_view title;  // "OpenAI messages"
  bool own = false;        // ours: ids are the author's, so that one used twice is a mistake
  bool (*fits)(const JsonView& value) = nullptr;
  // `number` counts the conversations of the input from 1, for those without an id.
  Result<Conversation> (*read)(const JsonView& value, std::size_t number, Notices& notices) = nullptr;
};

[[nodiscard]] std::span<const ConversationFormat> conversation_formats() noexcept;

// The format that `value` is in, or null.
[[nodiscard]] const ConversationFormat* format_of(const JsonView& value) noexcept;

}  // namespace bulkhead::dataset
