// SPDX-License-Identifier: MIT
#include "prompt/chat_log.h"

#include <algorithm>

namespace bulkhead::prompt {

using conversation::OriginKind;

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const auto begin = std::min(text.find_first_not_of(kSpace), text.size());
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

}  // namespace

std::optional<std::size_t> ChatLog::held_of(std::string_view text, const engine::Tokenizer& tokenizer) const {
  if (!text.starts_with(rendered)) return std::nullopt;
  auto held = rendered.size();
  if (answered) {
    // Some templates trim what was said: the cache has the white space all the same.
    const std::string_view answer = messages.back().content;
    const auto rest = text.substr(held);
    const auto spelled = rest.starts_with(answer) ? answer : trimmed(answer);
    if (!rest.starts_with(spelled)) return std::nullopt;
    held += spelled.size();
  }
  // A generation that ended by itself left its end token in the cache: the template writes it again.
  if (end_token) {
    const auto spelling = tokenizer.spelling(*end_token);
    if (text.substr(held).starts_with(spelling)) held += spelling.size();
  }
  return held;
}

void ChatLog::note_answer(const std::string& text, std::optional<engine::Token> end) {
  if (answered) {
    messages.back().content += text;
  } else if (!messages.empty() && messages.back().role == "user") {
    messages.push_back({"assistant", text});
    answered = true;
  }
  end_token = end;
}

std::string text_of(std::span<const engine::ChatPart> parts) {
  std::string text;
  for (const auto& part : parts) text += part.text;
  return text;
}

Result<conversation::TracedTokens> tokens_of(std::span<const engine::ChatPart> parts, std::size_t skip_bytes,
                                             const engine::Tokenizer& tokenizer) {
  conversation::TracedTokens traced;
  for (const auto& part : parts) {
    const auto skipped = std::min(skip_bytes, part.text.size());
    skip_bytes -= skipped;
    const auto text = std::string_view(part.text).substr(skipped);
    if (text.empty()) continue;
    BH_TRY(const auto tokens, part.from_template ? tokenizer.tokenize_template(text) : tokenizer.tokenize(text));
    traced.append(tokens, {.kind = part.from_template ? OriginKind::kTemplate : OriginKind::kTurn});
  }
  return traced;
}

}  // namespace bulkhead::prompt
