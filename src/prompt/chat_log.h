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

// The first messages of a chat as its template renders them, no turn opened; behind `said` bytes lies nothing but what
// the template writes behind every turn.
struct ChatBeginning {
  std::string rendered = {};
  std::size_t said = 0;
};

struct ChatLog {
  std::vector<engine::ChatMessage> messages = {};
  std::string rendered = {};  // what the template made of them, up to the last one that was appended
  // Behind that lies an answer, the last of `messages`, if one was generated since, and the end token that it left.
  bool answered = false;
  std::optional<engine::Token> end_token = {};

  // How many bytes of a rendering of these messages and further ones the cache holds already. nullopt: the template
  // writes the earlier ones in another way now.
  [[nodiscard]] std::optional<std::size_t> held_of(std::string_view text, const engine::Tokenizer& tokenizer) const;

  // The same where the answer holds calls, which the template writes in its own way and the model wrote in its own:
  // `beginning` is what the template makes of these messages alone.
  [[nodiscard]] std::optional<std::size_t> held_of_calls(std::string_view text, const ChatBeginning& beginning,
                                                         const engine::Tokenizer& tokenizer) const;

  // A generation has added its text, and `end` if it ended by itself. Behind an answer it is more of that answer,
  // behind a user's turn an answer, behind anything else no part of the chat.
  void note_answer(const std::string& text, std::optional<engine::Token> end);
  void note_answer(const engine::AnswerParts& answer, std::optional<engine::Token> end);

 private:
  [[nodiscard]] std::size_t behind_end(std::string_view text, std::size_t held,
                                       const engine::Tokenizer& tokenizer) const;
};

// JSON text without spaces that mean nothing; a text that is no JSON as it stands.
[[nodiscard]] std::string normal_json(const std::string& text);

// All that the parts say.
[[nodiscard]] std::string text_of(std::span<const engine::ChatPart> parts);

// The tokens of what the parts say behind their first `skip_bytes` bytes: content as content, template as template.
[[nodiscard]] Result<conversation::TracedTokens> tokens_of(std::span<const engine::ChatPart> parts,
                                                           std::size_t skip_bytes, const engine::Tokenizer& tokenizer);

}  // namespace bulkhead::prompt
