// SPDX-License-Identifier: MIT
#include "engines/llama/chat_template.h"

#include <fmt/format.h>
#include <jinja/caps.h>
#include <jinja/parser.h>
#include <jinja/runtime.h>

#include <exception>
#include <string_view>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

using engine::ChatMessage;
using engine::ChatPart;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto begin = text.find_first_not_of(kSpace);
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// The engine's messages repeat the source and point into it; the first line says what is wrong.
std::string first_line(std::string_view message) {
  constexpr std::string_view kOwn = "Jinja Exception: ";
  if (const auto own = message.find(kOwn); own != std::string_view::npos) message.remove_prefix(own + kOwn.size());
  return std::string(message.substr(0, message.find('\n')));
}

jinja::value content_value(const std::string& content, bool as_parts) {
  jinja::value text = jinja::mk_val<jinja::value_string>(jinja::string(content, true));
  if (!as_parts) return text;
  const auto part = jinja::mk_val<jinja::value_object>();
  part->insert("type", jinja::mk_val<jinja::value_string>("text"));
  part->insert("text", text);
  const auto parts = jinja::mk_val<jinja::value_array>();
  parts->push_back(jinja::value(part));
  return parts;
}

Result<void> check_roles(std::span<const ChatMessage> messages) {
  for (const auto& message : messages) {
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("there is no chat role \"{}\"", message.role),
                   {},
                   "use system, user or assistant"};
    }
  }
  return {};
}

}  // namespace

struct ChatTemplate::Program {
  std::string source;
  std::string bos;
  std::string eos;
  jinja::program program;
  bool content_as_parts = false;  // the template wants a list of typed parts instead of a string
};

ChatTemplate::ChatTemplate(std::unique_ptr<Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(const std::string& source, std::string bos, std::string eos) {
  try {
    jinja::lexer lexer;
    const auto tokens = lexer.tokenize(source);
    auto program = std::make_unique<Program>(
        Program{tokens.source, std::move(bos), std::move(eos), jinja::parse_from_tokens(tokens), false});
    const auto abilities = jinja::caps_get(program->program);
    program->content_as_parts = abilities.supports_typed_content && !abilities.supports_string_content;
    return ChatTemplate(std::move(program));
  } catch (const std::exception& failure) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("the model's chat template cannot be read: {}", first_line(failure.what())),
                 {},
                 {}};
  }
}

Result<std::vector<ChatPart>> ChatTemplate::render(std::span<const ChatMessage> messages,
                                                   bool open_assistant_turn) const {
  BH_CHECK(check_roles(messages));
  std::vector<ChatPart> parts;
  std::string whole;
  try {
    jinja::context context(program_->source);
    const auto list = jinja::mk_val<jinja::value_array>();
    for (const auto& message : messages) {
      const auto entry = jinja::mk_val<jinja::value_object>();
      entry->insert("role", jinja::mk_val<jinja::value_string>(message.role));
      entry->insert("content", content_value(message.content, program_->content_as_parts));
      list->push_back(jinja::value(entry));
    }
    context.set_val("messages", list);
    context.set_val("bos_token", jinja::mk_val<jinja::value_string>(program_->bos));
    context.set_val("eos_token", jinja::mk_val<jinja::value_string>(program_->eos));
    context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(open_assistant_turn));
    jinja::runtime runtime(context);
    const auto rendered = jinja::runtime::gather_string_parts(runtime.execute(program_->program));
    for (const auto& part : rendered->val_str.parts) {
      if (part.val.empty()) continue;
      parts.push_back({part.val, !part.is_input});
      whole += part.val;
    }
  } catch (const std::exception& failure) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("the model's chat template refuses: {}", first_line(failure.what())),
                 {},
                 "change the roles, or use a raw text format"};
  }
  for (const auto& message : messages) {
    if (message.role == "system" && whole.find(trimmed(message.content)) == std::string::npos) {
      return Error{ErrorCode::kUnsupported,
                   "the model's chat template drops the system message",
                   {},
                   "put its text into the first user message"};
    }
  }
  return parts;
}

}  // namespace bulkhead::engines::llama
