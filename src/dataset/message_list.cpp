// SPDX-License-Identifier: MIT
#include "dataset/message_list.h"

#include "dataset/message_content.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace bulkhead::dataset {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 16> kRoles = {{
    {"system", "system"},
    {"developer", "developer"},
    {"user", "user"},
    {"human", "user"},
    {"assistant", "assistant"},
    {"gpt", "assistant"},
    {"chatgpt", "assistant"},
    {"bard", "assistant"},
    {"bing", "assistant"},
    {"model", "assistant"},
    {"function_call", "assistant"},
    {"tool", "tool"},
    {"function", "tool"},
    {"function_response", "tool"},
    {"observation", "tool"},
    {"tool_response", "tool"},
}};

// Fields of a message that are heard or thought, not said.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kUnsaidFields = {{
    {"reasoning_content", "reasoning"},
    {"reasoning", "reasoning"},
    {"thinking", "reasoning"},
    {"audio", "a sound recording"},
}};

Result<std::string> role_in(const JsonView& message) {
  const auto* const key = message.has("from") && !message.has("role") ? "from" : "role";
  BH_TRY(const auto view, message.at(key));
  BH_TRY(const auto word, view.string());
  if (const auto role = role_of(word)) return std::string(*role);
  std::string known;
  for (const auto& [theirs, ours] : kRoles) known += (known.empty() ? "" : ", ") + std::string(theirs);
  return view.fail(fmt::format("unknown role \"{}\"", word), "known: " + known);
}

Result<std::string> text_in(const JsonView& message, ConversationBuilder& builder) {
  BH_TRY(const auto calls, tool_calls_text(message, builder));
  for (const auto& [key, what] : kUnsaidFields) {
    if (!message.has(key)) continue;
    BH_TRY(const auto view, message.at(key));
    builder.leave_out(view, what);
  }
  std::string text;
  if (message.has("value") && !message.has("content")) {
    BH_TRY(const auto value, message.at("value"));
    BH_TRY(text, content_text(value, builder));
  } else if (message.json().contains("content") ||
             !(message.has("tool_calls") || message.has("function_call") || message.has("refusal"))) {
    BH_TRY(const auto content, message.at("content"));
    BH_TRY(text, content_text(content, builder));
  }
  if (message.has("refusal") && text.empty()) {
    BH_TRY(const auto refusal, message.at("refusal"));
    BH_TRY(text, refusal.string());
  }
  return text.empty() || calls.empty() ? text + calls : text + '\n' + calls;
}

Result<Conversation> read_messages(const JsonView& value, const JsonView& list, std::size_t number, Notices& notices) {
  BH_TRY(auto builder, ConversationBuilder::open(value, number, notices));
  for (const auto* const key : {"tools", "functions"}) {
    if (!value.has(key)) continue;
    BH_TRY(const auto view, value.at(key));
    builder.leave_out_of_all(view, "the description of tools");
  }
  if (value.has("system")) {
    BH_TRY(const auto view, value.at("system"));
    BH_TRY(auto text, content_text(view, builder));
    BH_CHECK(builder.add(view, "system", std::move(text)));
  }
  BH_TRY(const auto messages, list.items());
  for (const auto& message : messages) {
    BH_TRY(const auto role, role_in(message));
    BH_TRY(auto text, text_in(message, builder));
    BH_CHECK(builder.add(message, role, std::move(text)));
  }
  return builder.finish();
}

}  // namespace

std::optional<std::string_view> role_of(std::string_view word) noexcept {
  const auto* found = std::find_if(kRoles.begin(), kRoles.end(), [&](const auto& one) { return one.first == word; });
  if (found == kRoles.end()) return std::nullopt;
  return found->second;
}

bool is_openai(const JsonView& value) {
  if (!value.json().is_array()) return value.has("messages");
  return !value.json().empty() && value.json().front().is_object() && value.json().front().contains("role");
}

bool is_sharegpt(const JsonView& value) {
  if (!value.json().is_array()) return value.has("conversations") || value.has("conversation");
  return !value.json().empty() && value.json().front().is_object() && value.json().front().contains("from");
}

Result<Conversation> read_openai(const JsonView& value, std::size_t number, Notices& notices) {
  if (value.json().is_array()) return read_messages(value, value, number, notices);
  BH_TRY(const auto list, value.at("messages"));
  return read_messages(value, list, number, notices);
}

Result<Conversation> read_sharegpt(const JsonView& value, std::size_t number, Notices& notices) {
  if (value.json().is_array()) return read_messages(value, value, number, notices);
  BH_TRY(const auto list, value.at(value.has("conversations") ? "conversations" : "conversation"));
  return read_messages(value, list, number, notices);
}

}  // namespace bulkhead::dataset
