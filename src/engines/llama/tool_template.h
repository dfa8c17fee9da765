// SPDX-License-Identifier: MIT
// A model's chat template with tools, by llama.cpp's common/chat: how tools are told, which rules calls obey, and how
// answers are read. What a template may cost is limited as in chat_template.h.
#pragma once

#include "engine/tokenizer.h"

#include <cstdint>
#include <memory>
#include <string>

namespace bulkhead::engines::llama {

inline constexpr std::size_t kMostTools = 128;

// Thread rule: render() from any thread.
class ToolTemplate {
 public:
  // As ChatTemplate::parse(). kUnsupported: it knows no tools.
  [[nodiscard]] static Result<ToolTemplate> parse(const std::string& source, const std::string& bos,
                                                  const std::string& eos, std::int64_t now);

  ToolTemplate(ToolTemplate&&) noexcept;
  ToolTemplate& operator=(ToolTemplate&&) noexcept;
  ~ToolTemplate();

  // The parts are one, all of it the template's; contents are to be covered (engine/opaque_chat.h). kBadInput: more
  // than kMostTools tools, or schemas that check_schema() refuses. Rules hold from the words on with which this
  // template begins a call, and from the first token on where a call is demanded. Where it begins calls in no such way
  // there are none unless a call is demanded, which is kUnsupported where there are none even then. So too where they
  // would be larger than Grammar::parse() takes, which is kBadInput where a call is demanded.
  [[nodiscard]] Result<engine::ToolChat> render(const engine::ToolChatRequest& request) const;

 private:
  struct Templates;
  explicit ToolTemplate(std::unique_ptr<Templates> templates);
  std::unique_ptr<Templates> templates_;
};

}  // namespace bulkhead::engines::llama
