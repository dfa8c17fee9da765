// SPDX-License-Identifier: MIT
// A model's chat template, run by llama.cpp's Jinja engine, which remembers for every byte whether it came from a
// message. A template is a program that comes with the model file: what it may cost is limited
// (docs/format-files.md, "Limits").
#pragma once

#include "engine/engine.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {

// Thread rule: render() from any thread.
class ChatTemplate {
 public:
  // `now`: what it takes for the time, in seconds since 1970, printed as UTC (engine/clock.h). kCorrupt when the source
  // is no template that the engine understands, when it exceeds a limit, which the message names with its value, or
  // when it cannot render so much as one user turn.
  [[nodiscard]] static Result<ChatTemplate> parse(const std::string& source, std::string bos, std::string eos,
                                                  std::int64_t now);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // kUnsupported, with the template's own words, when it refuses; also when it would drop a system message unseen.
  // kCorrupt when it exceeds a limit.
  [[nodiscard]] Result<std::vector<engine::ChatPart>> render(std::span<const engine::ChatMessage> messages,
                                                             bool open_assistant_turn) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<Program> program);
  static void try_one_turn(const Program& program);  // throws what the engine throws
  std::unique_ptr<Program> program_;
};

}  // namespace bulkhead::engines::llama
