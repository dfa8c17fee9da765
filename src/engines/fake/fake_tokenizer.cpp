// SPDX-License-Identifier: MIT
#include "engines/fake/fake_tokenizer.h"

#include "engines/fake/fake_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace bulkhead::engines::fake {
namespace {

using engine::ChatPart;
using engine::Token;

constexpr std::array<std::string_view, 5> kControl = {"<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"};

Token byte_token(char byte) {
  return static_cast<Token>(static_cast<unsigned char>(byte));
}

bool is_byte(Token token) {
  return token >= 0 && token < kBos;
}

}  // namespace

Result<std::vector<Token>> FakeTokenizer::tokenize(std::string_view text) const {
  std::vector<Token> tokens(text.size());
  std::transform(text.begin(), text.end(), tokens.begin(), byte_token);
  return tokens;
}

Result<std::vector<Token>> FakeTokenizer::tokenize_template(std::string_view text) const {
  std::vector<Token> tokens;
  while (!text.empty()) {
    const auto* found =
        std::find_if(kControl.begin(), kControl.end(), [&](auto name) { return text.starts_with(name); });
    if (found != kControl.end()) {
      tokens.push_back(kBos + static_cast<Token>(found - kControl.begin()));
      text.remove_prefix(found->size());
    } else {
      tokens.push_back(byte_token(text.front()));
      text.remove_prefix(1);
    }
  }
  return tokens;
}

std::optional<Token> FakeTokenizer::bos() const {
  return kBos;
}

std::string FakeTokenizer::piece(Token token) const {
  return is_byte(token) ? std::string(1, static_cast<char>(static_cast<unsigned char>(token))) : std::string();
}

std::string FakeTokenizer::spelling(Token token) const {
  if (token >= kBos && token < static_cast<Token>(kVocabulary)) {
    return std::string(kControl.at(static_cast<std::size_t>(token - kBos)));
  }
  return piece(token);
}

bool FakeTokenizer::ends_generation(Token token) const {
  return token == kEnd;
}

Result<std::vector<ChatPart>> FakeTokenizer::render_chat(std::span<const engine::ChatMessage> messages,
                                                         bool open_assistant_turn) const {
  std::vector<ChatPart> parts;
  std::string pending = "<|bos|>";
  for (const auto& message : messages) {
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("the chat template has no role \"{}\"", message.role),
                   {},
                   "use system, user or assistant"};
    }
    parts.push_back({pending + "<|" + message.role + "|>", true});
    if (!message.content.empty()) parts.push_back({message.content, false});
    pending = "<|end|>";
  }
  if (open_assistant_turn) pending += "<|assistant|>";
  parts.push_back({pending, true});
  return parts;
}

}  // namespace bulkhead::engines::fake
