// SPDX-License-Identifier: MIT
#include "engines/llama/tokenizer.h"

#include "engines/llama/assertions.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <limits>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

using engine::ChatMessage;
using engine::ChatPart;
using engine::Token;
using engine::ToolChat;
using engine::ToolChatRequest;

Result<std::vector<Token>> run_tokenizer(const llama_vocab* vocab, std::string_view text, bool read_control_tokens) {
  if (text.empty()) return std::vector<Token>();
  if (text.size() > std::numeric_limits<std::int32_t>::max() / 2) {
    return Error{ErrorCode::kBadInput, fmt::format("a text of {} bytes is too long", text.size()), {}, {}};
  }
  const AssertionScope assertions;
  try {
    std::vector<Token> tokens(text.size() + 2);
    const auto length = static_cast<std::int32_t>(text.size());
    const auto room = static_cast<std::int32_t>(tokens.size());
    auto count = llama_tokenize(vocab, text.data(), length, tokens.data(), room, false, read_control_tokens);
    if (count < 0 && count != std::numeric_limits<std::int32_t>::min()) {
      tokens.resize(static_cast<std::size_t>(-count));
      count = llama_tokenize(vocab, text.data(), length, tokens.data(), -count, false, read_control_tokens);
    }
    if (count < 0) return Error{ErrorCode::kBadInput, "the model's tokenizer refuses this text", {}, {}};
    tokens.resize(static_cast<std::size_t>(count));
    return tokens;
  } catch (const std::exception& failure) {
    return Error{
        ErrorCode::kBadInput, fmt::format("the model's tokenizer refuses this text: {}", failure.what()), {}, {}};
  }
}

std::string to_piece(const llama_vocab* vocab, Token token, bool show_control_tokens) {
  std::string piece(32, '\0');
  for (;;) {
    const auto room = static_cast<std::int32_t>(piece.size());
    const auto count = llama_token_to_piece(vocab, token, piece.data(), room, 0, show_control_tokens);
    if (count >= 0) {
      piece.resize(static_cast<std::size_t>(count));
      return piece;
    }
    piece.resize(static_cast<std::size_t>(-count));
  }
}

bool continues_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

}  // namespace

LlamaTokenizer::LlamaTokenizer(const llama_model* model, std::int64_t now)
    : vocab_(llama_model_get_vocab(model)), now_(now) {
  if (const char* source = llama_model_chat_template(model, nullptr)) template_source_ = source;
}

Result<const ChatTemplate*> LlamaTokenizer::chat_template() const {
  if (!has_chat_template()) {
    return Error{ErrorCode::kUnsupported, "this model has no chat template", {}, "use a raw text format"};
  }
  const std::lock_guard lock(mutex_);
  if (!template_) {
    template_ = ChatTemplate::parse(template_source_, spelling_or_empty(llama_vocab_bos(vocab_)),
                                    spelling_or_empty(llama_vocab_eos(vocab_)), now_);
  }
  if (!template_->ok()) return template_->error();
  return &template_->value();
}

Result<const ToolTemplate*> LlamaTokenizer::tool_template() const {
  BH_CHECK(chat_template());  // its size and form are checked
  const std::lock_guard lock(mutex_);
  if (!tools_) {
    tools_ = ToolTemplate::parse(template_source_, spelling_or_empty(llama_vocab_bos(vocab_)),
                                 spelling_or_empty(llama_vocab_eos(vocab_)), now_);
  }
  if (!tools_->ok()) return tools_->error();
  return &tools_->value();
}

std::string LlamaTokenizer::spelling_or_empty(Token token) const {
  return token == LLAMA_TOKEN_NULL ? std::string() : spelling(token);
}

bool LlamaTokenizer::is_control(Token token) const {
  return llama_vocab_is_control(vocab_, token) || llama_vocab_is_eog(vocab_, token);
}

Result<std::vector<Token>> LlamaTokenizer::tokenize(std::string_view text) const {
  BH_TRY(auto tokens, run_tokenizer(vocab_, text, false));
  const auto control = std::find_if(tokens.begin(), tokens.end(), [&](Token token) { return is_control(token); });
  if (control == tokens.end()) return tokens;
  // Merging may spell out a control token even though none was read. Cut within its spelling, so that it cannot form.
  std::size_t cut = 1;
  for (auto token = tokens.begin(); token != control; ++token) cut += spelling(*token).size();
  while (cut < text.size() && continues_character(text[cut])) ++cut;
  if (cut >= text.size()) {
    return Error{
        ErrorCode::kBadInput, fmt::format("\"{}\" cannot be written as plain text", spelling(*control)), {}, {}};
  }
  BH_TRY(auto left, tokenize(text.substr(0, cut)));
  BH_TRY(const auto right, tokenize(text.substr(cut)));
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Result<std::vector<Token>> LlamaTokenizer::tokenize_template(std::string_view text) const {
  return run_tokenizer(vocab_, text, true);
}

std::optional<Token> LlamaTokenizer::bos() const {
  const auto token = llama_vocab_bos(vocab_);
  if (!llama_vocab_get_add_bos(vocab_) || token == LLAMA_TOKEN_NULL) return std::nullopt;
  return token;
}

std::string LlamaTokenizer::piece(Token token) const {
  return token < 0 || token >= llama_vocab_n_tokens(vocab_) ? std::string() : to_piece(vocab_, token, false);
}

std::string LlamaTokenizer::spelling(Token token) const {
  return token < 0 || token >= llama_vocab_n_tokens(vocab_) ? std::string() : to_piece(vocab_, token, true);
}

bool LlamaTokenizer::ends_generation(Token token) const {
  return llama_vocab_is_eog(vocab_, token);
}

Result<std::size_t> LlamaTokenizer::count_controls(std::span<const ChatPart> parts) const {
  std::size_t count = 0;
  for (const auto& part : parts) {
    if (!part.from_template) continue;
    BH_TRY(const auto tokens, tokenize_template(part.text));
    count += static_cast<std::size_t>(
        std::count_if(tokens.begin(), tokens.end(), [&](Token token) { return is_control(token); }));
  }
  return count;
}

Result<std::vector<ChatPart>> LlamaTokenizer::render_chat(std::span<const ChatMessage> messages,
                                                          bool open_assistant_turn) const {
  BH_TRY(const auto* source, chat_template());
  BH_TRY(auto parts, source->render(messages, open_assistant_turn));
  // A template may compute with content in ways that lose its origin. Where content spells control tokens, the
  // template's own share must hold as many of them as with harmless content.
  std::vector<ChatMessage> harmless(messages.begin(), messages.end());
  bool differs = false;
  for (auto& message : harmless) {
    BH_TRY(const auto tokens, tokenize_template(message.content));
    if (std::none_of(tokens.begin(), tokens.end(), [&](Token token) { return is_control(token); })) continue;
    message.content.assign(message.content.size(), 'x');
    differs = true;
  }
  if (differs) {
    BH_TRY(const auto expected, source->render(harmless, open_assistant_turn));
    BH_TRY(const auto expected_count, count_controls(expected));
    BH_TRY(const auto count, count_controls(parts));
    if (count != expected_count) {
      return Error{ErrorCode::kUnsupported,
                   "the chat template turns message content into control tokens",
                   {},
                   "use a raw text format"};
    }
  }
  return with_bos(std::move(parts));
}

// A template that does not write it.
std::vector<ChatPart> LlamaTokenizer::with_bos(std::vector<ChatPart> parts) const {
  const auto first = bos();
  if (!first) return parts;
  auto text = spelling(*first);
  if (!parts.empty() && parts.front().from_template && parts.front().text.starts_with(text)) return parts;
  std::vector<ChatPart> begun;
  begun.push_back(ChatPart{std::move(text), true});
  std::move(parts.begin(), parts.end(), std::back_inserter(begun));
  return begun;
}

Result<void> LlamaTokenizer::check_no_control(std::string_view text, std::string_view what) const {
  BH_TRY(const auto tokens, tokenize_template(text));
  if (std::none_of(tokens.begin(), tokens.end(), [&](Token token) { return is_control(token); })) return {};
  return Error{ErrorCode::kBadInput, fmt::format("{} spells a control token of the model", what), "tools", {}};
}

Result<void> LlamaTokenizer::check_no_control_in(const Json& json, std::string_view what) const {
  if (json.is_string()) return check_no_control(json.get_ref<const std::string&>(), what);
  if (!json.is_structured()) return {};
  for (const auto& [name, member] : json.items()) {
    if (json.is_object()) BH_CHECK(check_no_control(name, what));
    BH_CHECK(check_no_control_in(member, what));
  }
  return {};
}

Result<ToolChat> LlamaTokenizer::render_tools(const ToolChatRequest& request) const {
  for (const auto& tool : request.tools) {
    const auto what = fmt::format("tool \"{}\"", tool.name);
    BH_CHECK(check_no_control(tool.name, what));
    BH_CHECK(check_no_control(tool.description, what));
    if (tool.parameters.empty()) continue;
    BH_TRY(const auto parameters, parse_json(tool.parameters, what));
    BH_CHECK(check_no_control_in(parameters, what));
  }
  for (const auto& message : request.messages) {
    for (const auto& call : message.calls) {
      const auto what = fmt::format("a call of \"{}\"", call.name);
      BH_CHECK(check_no_control(call.name, what));
      BH_CHECK(check_no_control(call.id, what));
      BH_TRY(const auto arguments, parse_json(call.arguments, what));
      BH_CHECK(check_no_control_in(arguments, what));
    }
    BH_CHECK(check_no_control(message.call_id, "the id of a call"));
  }
  BH_TRY(const auto* source, tool_template());
  BH_TRY(auto chat, source->render(request));
  chat.parts = with_bos(std::move(chat.parts));
  return chat;
}

}  // namespace bulkhead::engines::llama
