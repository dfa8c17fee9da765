// SPDX-License-Identifier: MIT
// The model's own tokenizer and chat template.
#pragma once

#include "base/json.h"
#include "engine/engine.h"
#include "engines/llama/chat_template.h"
#include "engines/llama/tool_template.h"

#include <llama.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engines::llama {

// Pieces of a text join to exactly that text: no space is put before it, whatever the model file says.
// Thread rule: const calls from any thread.
class LlamaTokenizer final : public engine::Tokenizer {
 public:
  // `model` must outlive it. `now`: what templates take for the time (ChatTemplate::parse).
  LlamaTokenizer(const llama_model* model, std::int64_t now);

  // Whether the model brings one. It is read when a chat is rendered, not before.
  [[nodiscard]] bool has_chat_template() const { return !template_source_.empty(); }

  [[nodiscard]] Result<std::vector<engine::Token>> tokenize(std::string_view text) const override;
  [[nodiscard]] Result<std::vector<engine::Token>> tokenize_template(std::string_view text) const override;
  [[nodiscard]] std::optional<engine::Token> bos() const override;
  [[nodiscard]] std::string piece(engine::Token token) const override;
  [[nodiscard]] std::string spelling(engine::Token token) const override;
  [[nodiscard]] bool ends_generation(engine::Token token) const override;
  [[nodiscard]] Result<std::vector<engine::ChatPart>> render_chat(std::span<const engine::ChatMessage> messages,
                                                                  bool open_assistant_turn) const override;
  [[nodiscard]] Result<engine::ToolChat> render_tools(const engine::ToolChatRequest& request) const override;

 private:
  [[nodiscard]] bool is_control(engine::Token token) const;
  [[nodiscard]] Result<const ChatTemplate*> chat_template() const;
  [[nodiscard]] Result<const ToolTemplate*> tool_template() const;
  [[nodiscard]] std::string spelling_or_empty(engine::Token token) const;
  [[nodiscard]] std::vector<engine::ChatPart> with_bos(std::vector<engine::ChatPart> parts) const;
  [[nodiscard]] Result<void> check_no_control(std::string_view text, std::string_view what) const;
  [[nodiscard]] Result<void> check_no_control_in(const Json& json, std::string_view what) const;
  [[nodiscard]] Result<std::size_t> count_controls(std::span<const engine::ChatPart> parts) const;

  const llama_vocab* vocab_;
  std::string template_source_;  // empty: there is none
  std::int64_t now_;
  mutable std::mutex mutex_;                              // of what follows
  mutable std::optional<Result<ChatTemplate>> template_;  // once it was asked for
  mutable std::optional<Result<ToolTemplate>> tools_;     // so too
};

}  // namespace bulkhead::engines::llama
