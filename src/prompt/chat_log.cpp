// SPDX-License-Identifier: MIT
#include "prompt/chat_log.h"

#include "base/json.h"

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
  return behind_end(text, held, tokenizer);
}

// A generation that ended by itself left its end token in the cache: the template writes it again.
std::size_t ChatLog::behind_end(std::string_view text, std::size_t held, const engine::Tokenizer& tokenizer) const {
  if (!end_token) return held;
  const auto spelling = tokenizer.spelling(*end_token);
  return text.substr(held).starts_with(spelling) ? held + spelling.size() : held;
}

std::optional<std::size_t> ChatLog::held_of_calls(std::string_view text, const ChatBeginning& beginning,
                                                  const engine::Tokenizer& tokenizer) const {
  const bool goes_on = text.starts_with(beginning.rendered) && beginning.rendered.starts_with(rendered);
  if (!goes_on || beginning.said < rendered.size()) return std::nullopt;
  return behind_end(text, beginning.said, tokenizer);
}

void ChatLog::note_answer(const std::string& text, std::optional<engine::Token> end) {
  note_answer(engine::AnswerParts{.content = text}, end);
}

void ChatLog::note_answer(const engine::AnswerParts& answer, std::optional<engine::Token> end) {
  if (answered) {
    messages.back().content += answer.content;
    messages.back().calls.insert(messages.back().calls.end(), answer.calls.begin(), answer.calls.end());
  } else if (!messages.empty() && (messages.back().role == "user" || messages.back().role == "tool")) {
    messages.push_back({.role = "assistant", .content = answer.content, .calls = answer.calls});
    answered = true;
  }
  end_token = end;
}

std::string normal_json(const std::string& text) {
  const auto parsed = parse_json(text);
  return parsed.ok() ? json_text(parsed.value()) : text;
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
