// SPDX-License-Identifier: MIT
// A chat rendered by a model's template without showing the template what the messages say.
#pragma once

#include "base/result.h"
#include "engine/tokenizer.h"

#include <span>
#include <vector>

namespace bulkhead::engine {

// As Tokenizer::render_chat, but each content goes in as a word that stands for it, with its own white space around it,
// and is put back where that word comes out. So a template can neither change what a message says (drop its
// reasoning, cut it at "</think>", escape it) nor decide by it what to write itself; and the content is known as such
// wherever it comes out. White space at its ends is the template's to keep or to trim.
//
// kUnsupported, beside what render_chat() gives, with the number of the message in `place` ("message 2", from 0), when
// the template leaves a message out, writes it twice or in another order.
[[nodiscard]] Result<std::vector<ChatPart>> render_opaque(const Tokenizer& tokenizer,
                                                          std::span<const ChatMessage> messages,
                                                          bool open_assistant_turn);

// The same for a chat with tools: as Tokenizer::render_tools, with contents alone covered. What tools, calls and
// arguments say is seen by the template.
[[nodiscard]] Result<ToolChat> render_opaque_tools(const Tokenizer& tokenizer, const ToolChatRequest& request);

}  // namespace bulkhead::engine
