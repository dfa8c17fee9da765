// SPDX-License-Identifier: MIT
#include "engine/opaque_chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::engine {
namespace {

constexpr std::string_view kBlank = " \t\r\n\v\f";
// No template writes this of its own accord; one that does so on purpose has its messages refused, no more.
constexpr std::string_view kWord = "bulkheadcontent";
constexpr std::size_t kDigits = 10;
constexpr std::size_t kWordLength = kWord.size() + kDigits;

std::string word_for(std::size_t message) {
  return fmt::format("{}{:0{}}", kWord, message, kDigits);
}

// The message that the word at `at` stands for; npos: none.
std::size_t message_at(std::string_view text, std::size_t at) {
  const auto digits = text.substr(std::min(text.size(), at + kWord.size()), kDigits);
  if (digits.size() != kDigits || digits.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::string_view::npos;
  }
  std::size_t number = 0;
  for (const char digit : digits) number = number * 10 + static_cast<std::size_t>(digit - '0');
  return number;
}

std::string_view without_ends(std::string_view text) {
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

// Puts contents back in place of their words, and watches that each comes once and in order.
class Contents {
 public:
  explicit Contents(std::span<const ChatMessage> messages) {
    for (const auto& message : messages) cores_.push_back(without_ends(message.content));
    skip_empty();
  }

  // Appends `part` to `out` with contents put back.
  Result<void> restore(const ChatPart& part, std::vector<ChatPart>& out) {
    std::string_view rest = part.text;
    ChatPart current{.text = {}, .from_template = part.from_template};
    for (auto at = rest.find(kWord); at != std::string_view::npos; at = rest.find(kWord)) {
      const auto message = message_at(rest, at);
      if (message != next_) return misplaced(std::min(message, next_));
      current.text += rest.substr(0, at);
      if (part.from_template) {  // the template has forgotten that this is content
        if (!current.text.empty()) out.push_back(std::exchange(current, {.text = {}, .from_template = true}));
        out.push_back({std::string(cores_[message]), false});
      } else {
        current.text += cores_[message];
      }
      rest.remove_prefix(at + kWordLength);
      ++next_;
      skip_empty();
    }
    current.text += rest;
    if (!current.text.empty()) out.push_back(std::move(current));
    return {};
  }

  [[nodiscard]] Result<void> finish() const {
    if (next_ < cores_.size()) return misplaced(next_);
    return {};
  }

 private:
  void skip_empty() {
    while (next_ < cores_.size() && cores_[next_].empty()) ++next_;
  }

  [[nodiscard]] Error misplaced(std::size_t message) const {
    return {ErrorCode::kUnsupported, "the model's chat template leaves out, repeats or moves what a message says",
            fmt::format("message {}", std::min(message, cores_.size())), "choose a raw text format"};
  }

  std::vector<std::string_view> cores_;  // [n_messages]
  std::size_t next_ = 0;                 // the message whose word comes next
};

std::vector<ChatMessage> covered(std::span<const ChatMessage> messages) {
  std::vector<ChatMessage> all(messages.begin(), messages.end());
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto& content = all[i].content;
    const auto core = without_ends(content);
    if (core.empty()) continue;
    const auto begin = static_cast<std::size_t>(core.data() - content.data());
    content.replace(begin, core.size(), word_for(i));
  }
  return all;
}

Result<std::vector<ChatPart>> restored(std::span<const ChatPart> parts, std::span<const ChatMessage> messages) {
  std::vector<ChatPart> all;
  Contents contents(messages);
  for (const auto& part : parts) BH_CHECK(contents.restore(part, all));
  BH_CHECK(contents.finish());
  return all;
}

}  // namespace

Result<std::vector<ChatPart>> render_opaque(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                            bool open_assistant_turn) {
  BH_TRY(const auto parts, tokenizer.render_chat(covered(messages), open_assistant_turn));
  return restored(parts, messages);
}

Result<ToolChat> render_opaque_tools(const Tokenizer& tokenizer, const ToolChatRequest& request) {
  auto asked = request;
  const auto messages = covered(request.messages);
  asked.messages = messages;
  BH_TRY(auto chat, tokenizer.render_tools(asked));
  BH_TRY(chat.parts, restored(chat.parts, request.messages));
  return chat;
}

}  // namespace bulkhead::engine
