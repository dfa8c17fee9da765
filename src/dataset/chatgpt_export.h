// SPDX-License-Identifier: MIT
// Conversations of a ChatGPT export (conversations.json): a tree of messages, since an edited question or another
// answer begins a branch. Read is the branch that was shown last.
#pragma once

#include "dataset/conversation_builder.h"

namespace bulkhead::dataset {

// An object with a "mapping".
[[nodiscard]] bool is_chatgpt_export(const JsonView& value);

// The messages from the root to "current_node"; where that is missing, at each message the last of its children.
// kBadInput with file, line and field for a parent or child that is not there, for a ring, and for what
// message_list.h refuses.
[[nodiscard]] Result<Conversation> read_chatgpt_export(const JsonView& value, std::size_t number, Notices& notices);

}  // namespace bulkhead::dataset
