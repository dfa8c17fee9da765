// SPDX-License-Identifier: MIT
// Byte-level tokenizer with five control tokens and a chat template of the form
// <|bos|> ( <|role|> content <|end|> )* [ <|assistant|> ].
#pragma once

#include "engine/engine.h"

namespace bulkhead::engines::fake {

class FakeTokenizer final : public engine::Tokenizer {
 public:
  [[nodiscard]] Result<std::vector<engine::Token>> tokenize(std::string_view text) const override;
  [[nodiscard]] Result<std::vector<engine::Token>> tokenize_template(std::string_view text) const override;
  [[nodiscard]] std::optional<engine::Token> bos() const override;
  [[nodiscard]] std::string piece(engine::Token token) const override;
  [[nodiscard]] std::string spelling(engine::Token token) const override;
  [[nodiscard]] bool ends_generation(engine::Token token) const override;
  [[nodiscard]] Result<std::vector<engine::ChatPart>> render_chat(std::span<const engine::ChatMessage> messages,
                                                                  bool open_assistant_turn) const override;
};

}  // namespace bulkhead::engines::fake
