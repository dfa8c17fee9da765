// SPDX-License-Identifier: MIT
// A chat as its template rendered it so far, and what a cache holds of it: so that a longer chat is prefilled from
// where the cache ends, and what was drawn stays as it was drawn.
#pragma once

#include "base/result.h"
#include "conversation/traced_tokens.h"
#include "engine/engine.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::prompt {

struct ChatLog {
  std::vector<engine::ChatMessage> messages = {};
  std::string rendered = {};  // what the template made of them, up to the last one that was appended
  // Behind that lies an answer, the last of `messages`, if one was generated since, and the end token that it left.
  bool answered = false;
  std::optional<engine::Token> end_token = {};

  // How many bytes of a rendering of these messages and further ones the cache holds already. nullopt: the template
  // writes the earlier ones in another way now.
  [[nodiscard]] std::optional<std::size_t> held_of(std::string_view text, const engine::Tokenizer& tokenizer) const;

  // A generation has added its text, and `end` if it ended by itself. Behind an answer it is more of that answer,
  // behind a user's turn an answer, behind anything else no part of the chat.
  void note_answer(const std::string& text, std::optional<engine::Token> end);
};

// All that the parts say.
[[nodiscard]] std::string text_of(std::span<const engine::ChatPart> parts);

// The tokens of what the parts say behind their first `skip_bytes` bytes: content as content, template as template.
[[nodiscard]] Result<conversation::TracedTokens> tokens_of(std::span<const engine::ChatPart> parts,
                                                           std::size_t skip_bytes, const engine::Tokenizer& tokenizer);

}  // namespace bulkhead::prompt
