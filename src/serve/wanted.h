// SPDX-License-Identifier: MIT
// What a request wants the cache to hold before it generates, and the messages of other partitions among that.
#pragma once

#include "base/result.h"
#include "conversation/traced_tokens.h"
#include "engine/engine.h"
#include "prompt/chat_log.h"
#include "serve/chat_fields.h"

#include <bulkhead/message.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::serve {

// A finished answer of one partition inside a message of a chat: the only thing that passes between partitions.
struct Crossing {
  std::size_t message = 0;  // of the chat, whose content holds it
  std::size_t begin = 0;    // in that content
  Message output;
  std::optional<std::size_t> part = {};  // of the rendering, which is it; none: it was white space that was trimmed
  std::size_t rendered_at = 0;           // where that begins
  std::uint64_t token_at = 0;            // and its tokens
  std::uint32_t tokens = 0;
};

// Of a completion: tokens alone.
struct Wanted {
  std::vector<engine::ChatMessage> messages = {};
  std::vector<engine::ChatPart> parts = {};  // of `messages`, as the template renders them
  std::string rendered = {};                 // all that the parts say
  conversation::TracedTokens tokens = {};    // all of it, tokenized anew
  std::vector<Crossing> crossings = {};      // in order
  // The last message is the beginning of the answer: where it begins in the rendering. None: it is not.
  std::optional<std::size_t> answer_at = {};
  ToolUse tools = {};
  // Of a chat with tools: what the template makes of its first `count` messages, of which the last is an answer.
  // nullopt: it refuses, or writes such a turn in no way that is known. One thread at a time.
  std::function<std::optional<prompt::ChatBeginning>(std::size_t count)> beginning = {};
};

// Renders and tokenizes the chat. Each crossing is tokenized by itself, and its tokens have its label as their origin.
// `open_answer`: up to where the assistant's turn begins. Gives what the template demands of the answer to a chat with
// tools; its parts are moved from. `tokenizer` must outlive what is wanted.
[[nodiscard]] Result<engine::ToolChat> render(Wanted& wanted, bool open_answer, const engine::Tokenizer& tokenizer);

// The tokens of what is rendered behind the first `skip_bytes` bytes.
[[nodiscard]] Result<conversation::TracedTokens> tokens_behind(const Wanted& wanted, std::size_t skip_bytes,
                                                               const engine::Tokenizer& tokenizer);

// The label of an answer that is sent: who wrote it, where in its chat, and the beginning of its text's hash, so that
// equal labels are equal texts. The number comes out again.
[[nodiscard]] std::string output_label(std::string_view from, std::uint64_t turn, std::string_view text);
[[nodiscard]] std::uint64_t turn_of_label(std::string_view label);

}  // namespace bulkhead::serve
