// SPDX-License-Identifier: MIT
// A tokenizer for tests with long tokens that cross the edges of turns, and with chat templates of many tempers.
#pragma once

#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::prompt {

// What the template does with the messages it is given.
struct Temper {
  bool has_template = true;
  bool refuses_equal_neighbours = false;
  bool refuses_assistant_first = false;
  bool refuses_inner_system = false;
  bool refuses_tool = false;
  bool refuses_system = false;
  bool drops_system = false;
  bool trims = false;
  bool writes_bos = false;
};

// Tokens: a word with the space before it; a run of punctuation with the line breaks after it; any other single byte.
// Control tokens are "<name>" in template text.
class WordTokenizer final : public engine::Tokenizer {
 public:
  explicit WordTokenizer(bool wants_bos = true, Temper temper = {}) : wants_bos_(wants_bos), temper_(temper) {}

  Result<std::vector<engine::Token>> tokenize(std::string_view text) const override {
    std::vector<engine::Token> tokens;
    while (!text.empty()) {
      const auto length = token_length(text);
      tokens.push_back(id_of(text.substr(0, length)));
      text.remove_prefix(length);
    }
    return tokens;
  }

  Result<std::vector<engine::Token>> tokenize_template(std::string_view text) const override {
    std::vector<engine::Token> tokens;
    while (!text.empty()) {
      const auto end = text.starts_with('<') ? text.find('>') + 1 : std::min(text.find('<'), text.size());
      if (text.starts_with('<')) {
        tokens.push_back(id_of(fmt::format("control{}", text.substr(0, end))));
      } else {
        const auto plain = tokenize(text.substr(0, end));
        tokens.insert(tokens.end(), plain.value().begin(), plain.value().end());
      }
      text.remove_prefix(end);
    }
    return tokens;
  }

  std::optional<engine::Token> bos() const override {
    return wants_bos_ ? std::optional(id_of("control<bos>")) : std::nullopt;
  }

  std::string piece(engine::Token token) const override {
    const auto text = spelling(token);
    return text.starts_with("control<") ? "" : text;
  }

  std::string spelling(engine::Token token) const override {
    const std::scoped_lock lock(mutex_);
    return texts_.at(static_cast<std::size_t>(token));
  }

  bool ends_generation(engine::Token token) const override { return spelling(token) == "control<end>"; }

  Result<std::vector<engine::ChatPart>> render_chat(std::span<const engine::ChatMessage> messages,
                                                    bool open_assistant_turn) const override {
    const Error refusal{ErrorCode::kUnsupported, "refused", {}, {}};
    if (!temper_.has_template) return refusal;
    std::vector<engine::ChatPart> parts;
    if (temper_.writes_bos) parts.push_back({"<bos>", true});
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const auto& message = messages[i];
      if (temper_.refuses_system && message.role == "system") return refusal;
      if (temper_.refuses_equal_neighbours && i > 0 && messages[i - 1].role == message.role) return refusal;
      const bool begun = std::any_of(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i),
                                     [](const auto& one) { return one.role != "system"; });
      if (temper_.refuses_assistant_first && message.role == "assistant" && !begun) return refusal;
      if (temper_.refuses_inner_system && message.role == "system" && i > 0) return refusal;
      if (temper_.refuses_tool && message.role == "tool") return refusal;
      if (temper_.drops_system && message.role == "system") continue;
      parts.push_back({fmt::format("<{}>", message.role), true});
      parts.push_back({temper_.trims ? trimmed(message.content) : message.content, false});
      parts.push_back({"<end>\n", true});
    }
    if (open_assistant_turn) parts.push_back({"<assistant>", true});
    return parts;
  }

 private:
  static bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
  static bool is_mark(char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; }

  static std::size_t run(std::string_view text, std::size_t from, bool (*belongs)(char)) {
    while (from < text.size() && belongs(text[from])) ++from;
    return from;
  }

  static std::size_t token_length(std::string_view text) {
    const std::size_t begin = text.front() == ' ' ? 1 : 0;
    if (const auto end = run(text, begin, is_word); end > begin) return end;
    if (!is_mark(text.front())) return 1;
    return run(text, run(text, 0, is_mark), [](char c) { return c == '\n'; });
  }

  static std::string trimmed(const std::string& text) {
    const auto begin = text.find_first_not_of(" \n\t");
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \n\t") + 1 - begin);
  }

  engine::Token id_of(std::string_view text) const {
    const std::scoped_lock lock(mutex_);
    const auto [entry, added] = ids_.try_emplace(std::string(text), static_cast<engine::Token>(texts_.size()));
    if (added) texts_.emplace_back(text);
    return entry->second;
  }

  bool wants_bos_;
  Temper temper_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, engine::Token> ids_;
  mutable std::vector<std::string> texts_;
};

}  // namespace bulkhead::prompt
