// SPDX-License-Identifier: MIT
// Text to tokens and back, and chats as a model's template renders them.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engine {

using Token = std::int32_t;

// A function that a model calls, as its answer says.
struct ToolCall {
  std::string id = {};  // names this call; whoever reads the answer gives it one
  std::string name;
  std::string arguments;  // JSON text
};

struct ChatMessage {
  std::string role;  // "system", "developer", "user", "assistant" or "tool"
  std::string content;
  std::vector<ToolCall> calls = {};  // of an assistant's message
  std::string call_id = {};          // of a tool's: the call that it answers
};

// A piece of a rendered chat: either written by the template, or a run of bytes of one message's content.
struct ChatPart {
  std::string text;
  bool from_template = true;
};

// A function that a model may call.
struct Tool {
  std::string name;
  std::string description = {};
  std::string parameters = {};  // JSON Schema of its arguments; empty: none
};

// A chat in which tools may be called, or were.
struct ToolChatRequest {
  std::span<const ChatMessage> messages;
  std::span<const Tool> tools = {};
  bool must_call = false;     // the answer must be a call
  std::string only = {};      // the one tool that may be called; empty: any
  bool several_calls = true;  // in one answer
  bool open_assistant_turn = true;
};

// What an answer says.
struct AnswerParts {
  std::string content = {};
  std::vector<ToolCall> calls = {};  // without ids, unless the model writes them
};

// Reads answers to one request. Thread rule: any thread.
class AnswerReader {
 public:
  AnswerReader() = default;
  AnswerReader(const AnswerReader&) = delete;
  AnswerReader& operator=(const AnswerReader&) = delete;
  virtual ~AnswerReader() = default;

  // `text`: the answer, or its beginning (`more_may_come`). Then the last call may be unfinished, its arguments no
  // JSON yet; what a beginning says is a beginning of what a longer one says. kBadInput: it is no such answer.
  [[nodiscard]] virtual Result<AnswerParts> read(std::string_view text, bool more_may_come) const = 0;
};

// A chat with tools, rendered.
struct ToolChat {
  std::vector<ChatPart> parts;
  std::string grammar = {};         // of the answer; empty: any text
  std::string grammar_prefix = {};  // as in GenerateOptions, as the next
  std::vector<std::string> grammar_triggers = {};
  std::vector<std::string> stop = {};          // further stop strings that this way of calling needs
  std::shared_ptr<const AnswerReader> reader;  // null where no turn was opened
};

// Text to tokens and back. Content and template are tokenized by different calls, so that content can never become a
// control token.
class Tokenizer {
 public:
  Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;
  virtual ~Tokenizer() = default;

  // Tokens of plain content: no BOS, and text that looks like a control token stays text.
  [[nodiscard]] virtual Result<std::vector<Token>> tokenize(std::string_view text) const = 0;
  // Tokens of template text, in which control tokens are read as such. No BOS is added.
  [[nodiscard]] virtual Result<std::vector<Token>> tokenize_template(std::string_view text) const = 0;
  // The token that begins a text, if this model wants one.
  [[nodiscard]] virtual std::optional<Token> bos() const = 0;
  // The raw bytes a token stands for; "" for control tokens.
  [[nodiscard]] virtual std::string piece(Token token) const = 0;
  // The visible spelling of a token, control tokens included ("<|im_end|>").
  [[nodiscard]] virtual std::string spelling(Token token) const = 0;
  [[nodiscard]] virtual bool ends_generation(Token token) const = 0;
  // Renders messages with the model's own template, which takes facts().clock for now. What messages say can change
  // what a template writes: render_opaque() (engine/opaque_chat.h) is for prompts. kUnsupported: no template, or it
  // refuses these roles; kCorrupt: a broken template, or one that exceeds a limit.
  [[nodiscard]] virtual Result<std::vector<ChatPart>> render_chat(std::span<const ChatMessage> messages,
                                                                  bool open_assistant_turn) const = 0;
  // The same for a chat with tools. What tools, calls and arguments say goes through the template as it is: kBadInput
  // where it spells a control token, or is no JSON where it should be. kUnsupported: this engine, or the model's
  // template, knows no tools.
  [[nodiscard]] virtual Result<ToolChat> render_tools(const ToolChatRequest& request) const;
};

}  // namespace bulkhead::engine
