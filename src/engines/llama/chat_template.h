// SPDX-License-Identifier: MIT
// A model's chat template, run by llama.cpp's Jinja engine, which remembers for every byte whether it came from a
// message.
#pragma once

#include "engine/engine.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {

// Thread rule: render() from any thread.
class ChatTemplate {
 public:
  // kUnsupported when the source is not a template that the engine understands.
  [[nodiscard]] static Result<ChatTemplate> parse(const std::string& source, std::string bos, std::string eos);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // kUnsupported, with the template's own words, when it refuses; also when it would drop a system message unseen.
  [[nodiscard]] Result<std::vector<engine::ChatPart>> render(std::span<const engine::ChatMessage> messages,
                                                             bool open_assistant_turn) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace bulkhead::engines::llama
