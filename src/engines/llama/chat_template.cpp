// SPDX-License-Identifier: MIT
#include "engines/llama/chat_template.h"

#include "engines/llama/template_limits.h"

#include <fmt/format.h>
#include <jinja/caps.h>
#include <jinja/parser.h>
#include <jinja/runtime.h>

#include <algorithm>
#include <array>
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

// The largest of the 70 templates that come with llama.cpp has 17 kB, and 350 tokens in one tag.
constexpr std::size_t kMaxSourceBytes = 256U << 10U;
constexpr std::size_t kMaxTagTokens = 4096;

Result<void> check_size(std::string_view source) {
  if (source.size() <= kMaxSourceBytes) return {};
  return broken_template(fmt::format("it has {} bytes, more than {}", source.size(), kMaxSourceBytes));
}

// The parser makes a chain of operators as deep as it is long.
Result<void> check_tags(const jinja::lexer_result& read) {
  std::size_t tokens = 0;
  for (const auto& token : read.tokens) {
    const bool begins = token.t == jinja::token::open_statement || token.t == jinja::token::open_expression;
    tokens = begins ? 0 : tokens + 1;
    if (tokens > kMaxTagTokens)
      return broken_template(fmt::format("a tag of it has more than {} tokens", kMaxTagTokens));
  }
  return {};
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
    constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant", "tool"};
    if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("there is no chat role \"{}\"", message.role),
                   {},
                   "use system, developer, user, assistant or tool"};
    }
    if (!message.calls.empty()) {
      return Error{ErrorCode::kUnsupported, "a chat with calls of tools is rendered with tools", {}, {}};
    }
  }
  return {};
}

}  // namespace

struct ChatTemplate::Program {
  std::string source;
  std::string bos;
  std::string eos;
  std::int64_t now = 0;
  jinja::program program;
  bool content_as_parts = false;  // the template wants a list of typed parts instead of a string

  // The parts, with the engine's own exceptions.
  [[nodiscard]] std::vector<ChatPart> run(std::span<const ChatMessage> messages, bool open_assistant_turn) const;
};

std::vector<ChatPart> ChatTemplate::Program::run(std::span<const ChatMessage> messages,
                                                 bool open_assistant_turn) const {
  jinja::context context(source);
  context.current_time = static_cast<std::time_t>(now);
  const auto list = jinja::mk_val<jinja::value_array>();
  for (const auto& message : messages) {
    const auto entry = jinja::mk_val<jinja::value_object>();
    entry->insert("role", jinja::mk_val<jinja::value_string>(message.role));
    entry->insert("content", content_value(message.content, content_as_parts));
    list->push_back(jinja::value(entry));
  }
  context.set_val("messages", list);
  context.set_val("bos_token", jinja::mk_val<jinja::value_string>(bos));
  context.set_val("eos_token", jinja::mk_val<jinja::value_string>(eos));
  context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(open_assistant_turn));
  jinja::runtime runtime(context);
  const auto rendered = jinja::runtime::gather_string_parts(runtime.execute(program));
  std::vector<ChatPart> parts;
  for (const auto& part : rendered->val_str.parts) {
    if (!part.val.empty()) parts.push_back({part.val, !part.is_input});
  }
  return parts;
}

ChatTemplate::ChatTemplate(std::unique_ptr<Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

// One user turn is all that every template takes. It may refuse even that, in words of its own, but not fall over it.
void ChatTemplate::try_one_turn(const Program& program) {
  const std::vector<ChatMessage> one = {{"user", "content"}};
  try {
    static_cast<void>(program.run(one, true));
  } catch (const std::exception& failure) {
    if (std::string_view(failure.what()).find(kTemplateRaised) == std::string_view::npos) throw;
  }
}

Result<ChatTemplate> ChatTemplate::parse(const std::string& source, std::string bos, std::string eos,
                                         std::int64_t now) {
  BH_CHECK(check_size(source));
  const jinja::budget_scope budget(template_limits(1));
  try {
    jinja::lexer lexer;
    const auto tokens = lexer.tokenize(source);
    BH_CHECK(check_tags(tokens));
    auto program = std::make_unique<Program>(
        Program{tokens.source, std::move(bos), std::move(eos), now, jinja::parse_from_tokens(tokens), false});
    const auto abilities = jinja::caps_get(program->program);  // keeps exceptions to itself
    if (!budget.exceeded().empty()) return broken_template(budget.exceeded());
    program->content_as_parts = abilities.supports_typed_content && !abilities.supports_string_content;
    try_one_turn(*program);
    return ChatTemplate(std::move(program));
  } catch (const std::exception& failure) {
    if (!budget.exceeded().empty()) return broken_template(budget.exceeded());
    return broken_template(what_template_says(failure.what()));
  }
}

Result<std::vector<ChatPart>> ChatTemplate::render(std::span<const ChatMessage> messages,
                                                   bool open_assistant_turn) const {
  BH_CHECK(check_roles(messages));
  std::vector<ChatPart> parts;
  const jinja::budget_scope budget(template_limits(messages.size()));
  try {
    parts = program_->run(messages, open_assistant_turn);
  } catch (const std::exception& failure) {
    if (!budget.exceeded().empty()) return broken_template(budget.exceeded());
    return Error{ErrorCode::kUnsupported,
                 fmt::format("the model's chat template refuses: {}", what_template_says(failure.what())),
                 {},
                 "change the roles, or use a raw text format"};
  }
  std::string whole;
  for (const auto& part : parts) whole += part.text;
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
