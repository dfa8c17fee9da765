// SPDX-License-Identifier: MIT
// What a conversation knows of itself: its chat, its answers, what it shows; and what of a wanted chat it holds.
#include "serve/conversations_impl.h"

#include <algorithm>
#include <span>

namespace bulkhead::serve {

using conversation::OriginKind;
using conversation::TracedTokens;

namespace {

// Whose message a token belongs to; empty: to none.
std::string_view sender_of(const TracedTokens& traced, std::size_t token) {
  const auto& origin = traced.origin(token);
  return origin.kind == OriginKind::kMessage ? std::string_view(origin.label) : std::string_view();
}

bool has_messages(const TracedTokens& traced) {
  return std::ranges::any_of(traced.origins, [](const auto& one) { return one.kind == OriginKind::kMessage; });
}

// Tokens of a message are the same only as tokens of that message.
std::uint64_t common_tokens(const TracedTokens& one, const TracedTokens& other) {
  const auto end = std::min(one.tokens.size(), other.tokens.size());
  const auto differ =
      std::mismatch(one.tokens.begin(), one.tokens.begin() + static_cast<std::ptrdiff_t>(end), other.tokens.begin());
  auto common = static_cast<std::uint64_t>(differ.first - one.tokens.begin());
  if (!has_messages(one) && !has_messages(other)) return common;
  std::uint64_t same = 0;
  while (same < common && sender_of(one, same) == sender_of(other, same)) ++same;
  return same;
}

bool is_beginning(std::span<const engine::ChatMessage> first, std::span<const engine::ChatMessage> all) {
  // Calls are the same whatever their ids, which templates rarely tell: what they tell is compared as text.
  const auto same_call = [](const auto& a, const auto& b) {
    return a.name == b.name && prompt::normal_json(a.arguments) == prompt::normal_json(b.arguments);
  };
  const auto same = [&](const auto& a, const auto& b) {
    return a.role == b.role && a.content == b.content && std::ranges::equal(a.calls, b.calls, same_call);
  };
  return first.size() <= all.size() && std::equal(first.begin(), first.end(), all.begin(), same);
}

std::optional<std::size_t> held_bytes(const prompt::ChatLog& log, const Wanted& wanted,
                                      const engine::Tokenizer& tokenizer) {
  if (log.messages.empty() || log.messages.back().calls.empty()) return log.held_of(wanted.rendered, tokenizer);
  const auto beginning = wanted.beginning ? wanted.beginning(log.messages.size()) : std::nullopt;
  return beginning ? log.held_of_calls(wanted.rendered, *beginning, tokenizer) : std::nullopt;
}

// A message is received as a whole: where only a part of one is there, the tokens that are missing begin with it.
std::uint64_t with_whole_message(const Wanted& wanted, std::uint64_t missing) {
  for (const auto& crossing : wanted.crossings) {
    const auto from_end = wanted.tokens.size() - crossing.token_at;
    if (missing < from_end && missing > from_end - crossing.tokens) return from_end;
  }
  return missing;
}

}  // namespace

Conversations::Choice Conversations::Choice::of(const Conversation& conversation, const Wanted& wanted,
                                                const engine::Tokenizer& tokenizer) {
  const auto& held = conversation.partition->ledger().tokens;
  const auto& log = conversation.log;
  const auto common = common_tokens(held, wanted.tokens);
  if (wanted.messages.empty()) {
    return {.continues = conversation.raw && common == held.size() && common < wanted.tokens.size(), .tokens = common};
  }
  if (conversation.known && is_beginning(log.messages, wanted.messages)) {
    const auto bytes = held_bytes(log, wanted, tokenizer);
    if (bytes && *bytes > 0 && *bytes < wanted.rendered.size()) {
      return {.continues = true, .tokens = held.size(), .bytes = *bytes};
    }
  }
  const auto missing = with_whole_message(wanted, wanted.tokens.size() - common);
  const Choice by_tokens{.tokens = wanted.tokens.size() - missing};
  for (auto mark = conversation.answers.rbegin(); mark != conversation.answers.rend(); ++mark) {
    if (mark->tokens <= by_tokens.tokens) break;
    if (!is_beginning(std::span(log.messages).first(mark->messages), wanted.messages)) continue;
    const auto bytes = held_bytes(conversation.log_at(*mark), wanted, tokenizer);
    if (bytes && *bytes > 0) return {.tokens = mark->tokens, .bytes = *bytes};
  }
  return by_tokens;
}

Result<void> Conversations::Choice::refine(const TracedTokens& held, const Wanted& wanted,
                                           const engine::Tokenizer& tokenizer) {
  if (bytes == 0 || tokens == held.size()) return {};
  BH_TRY(const auto behind, tokens_behind(wanted, bytes, tokenizer));
  const auto common = common_tokens(held.slice(tokens, held.size()), behind);
  more = behind.size() - with_whole_message(wanted, behind.size() - common);
  tokens += more;
  return {};
}

Result<Tail> Conversations::Choice::tail(const Wanted& wanted, const engine::Tokenizer& tokenizer) const {
  Tail tail;
  if (bytes > 0) {
    BH_TRY(const auto behind, tokens_behind(wanted, bytes, tokenizer));
    tail.tokens = behind.slice(more, behind.size());
  } else {
    tail.tokens = wanted.tokens.slice(tokens, wanted.tokens.size());
  }
  for (const auto& crossing : wanted.crossings) {
    const bool is_missing = wanted.tokens.size() - crossing.token_at <= tail.tokens.size();
    if (is_missing && crossing.tokens > 0) tail.arrivals.push_back({crossing.output, crossing.tokens});
  }
  return tail;
}

prompt::ChatLog Conversations::Conversation::log_at(const AnswerMark& mark) const {
  prompt::ChatLog at{.rendered = log.rendered.substr(0, mark.rendered_bytes), .answered = true, .end_token = mark.end};
  at.messages.assign(log.messages.begin(), log.messages.begin() + static_cast<std::ptrdiff_t>(mark.messages));
  return at;
}

void Conversations::Conversation::shortened(std::uint64_t tokens) {
  std::erase_if(answers, [&](const AnswerMark& mark) { return mark.tokens > tokens; });
  known = !answers.empty() && answers.back().tokens == tokens;
  log = answers.empty() ? prompt::ChatLog() : log_at(answers.back());
  std::erase_if(crossings, [&](const Crossing& one) { return one.message >= log.messages.size(); });
}

std::uint64_t Conversations::Conversation::coming_of(const Wanted& wanted) const {
  if (!coming) return 0;
  return wanted.tokens.size() -
         with_whole_message(wanted, wanted.tokens.size() - common_tokens(*coming, wanted.tokens));
}

void Conversations::Conversation::show() {
  const auto& ledger = partition->ledger();
  inspected.shown = {.turns = log.messages.size(),
                     .tokens = ledger.tokens.size(),
                     .prefilled_tokens = ledger.prefilled_tokens,
                     .reused_tokens = ledger.reused_tokens,
                     .generated_tokens = ledger.generated_tokens,
                     .messages_received = ledger.messages.size(),
                     .token_sha256 = ledger.token_sha256()};
  inspected.messages = log.messages;
  inspected.received.clear();
  for (const auto& receipt : ledger.messages) {
    inspected.received.push_back({receipt.from, turn_of_label(receipt.label), receipt.sha256, receipt.tokens});
  }
  shown_answers = answers;
}

Inspected Conversations::Conversation::seen() const {
  auto seen = inspected;
  seen.shown.id = id;
  seen.shown.name = identity.partition;
  seen.shown.session = identity.session;
  seen.shown.agent = identity.agent;
  seen.shown.cluster = identity.cluster;
  seen.shown.forked_from = forked_from;
  seen.shown.busy = busy;
  seen.shown.waiting = waiting.size();
  return seen;
}

partition::Partition& Conversations::Lease::partition() const {
  return *taken_->partition;
}

const std::string& Conversations::Lease::id() const {
  return taken_->id;
}

Inspected Conversations::Lease::inspected() const {
  const std::lock_guard lock(taken_->owner->mutex);
  taken_->show();
  auto inspected = taken_->seen();
  inspected.shown.busy = false;
  return inspected;
}

const std::vector<Crossing>& Conversations::Lease::crossings() const {
  return taken_->crossings;
}

const std::vector<engine::ChatMessage>& Conversations::Lease::messages() const {
  return taken_->log.messages;
}

const ToolUse& Conversations::Lease::tools() const {
  return taken_->tools;
}

void Conversations::Lease::wants_all(const Wanted& wanted) {
  tail_ = {.tokens = wanted.tokens};
  for (const auto& crossing : wanted.crossings) {
    if (crossing.tokens > 0) tail_.arrivals.push_back({crossing.output, crossing.tokens});
  }
}

void Conversations::Lease::comes_from(const Lease& source) const {
  const std::lock_guard lock(taken_->owner->mutex);
  taken_->forked_from = source.id();
}

void Conversations::Lease::prefilled(const Wanted& wanted) {
  const auto& ledger = partition().ledger();
  reuse_.tokens = ledger.tokens.size() - (ledger.prefilled_tokens - prefilled_before_);
  taken_->raw = wanted.messages.empty();
  taken_->log = {.messages = wanted.messages,
                 .rendered = wanted.rendered.substr(0, wanted.answer_at.value_or(wanted.rendered.size())),
                 .answered = wanted.answer_at.has_value()};
  taken_->crossings = wanted.crossings;
  taken_->tools = wanted.tools;
  taken_->known = !taken_->raw;
  // An answer whose tokens are there is one only where the chat says so too.
  std::erase_if(taken_->answers, [&](const AnswerMark& mark) {
    return mark.messages > wanted.messages.size() || wanted.messages[mark.messages - 1].role != "assistant";
  });
}

void Conversations::Lease::answered(const std::string& text, const engine::AnswerParts& answer,
                                    std::optional<engine::Token> end) const {
  if (taken_->raw) return;
  auto& log = taken_->log;
  log.note_answer(answer, end);
  taken_->known = log.answered;
  if (!log.answered) return;
  const auto label = output_label(taken_->id, log.messages.size() - 1, text);
  auto output = partition().output_message(label);
  taken_->answers.push_back({.messages = log.messages.size(),
                             .rendered_bytes = log.rendered.size(),
                             .end = end,
                             .tokens = partition().ledger().tokens.size(),
                             .output = output.ok() ? std::optional(std::move(output).value()) : std::nullopt});
}

void Conversations::Lease::give_up() const {
  taken_->broken = true;
}

}  // namespace bulkhead::serve
