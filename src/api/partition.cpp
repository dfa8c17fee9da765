// SPDX-License-Identifier: MIT
#include "api/handles.h"
#include "engine/opaque_chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead {

using conversation::Origin;
using conversation::OriginKind;
using conversation::TracedTokens;

namespace {

FinishReason reason(engine::GenerateResult::Finish finish) {
  switch (finish) {
    case engine::GenerateResult::Finish::kEnd: return FinishReason::kEnd;
    case engine::GenerateResult::Finish::kLength: return FinishReason::kLength;
    case engine::GenerateResult::Finish::kStop: return FinishReason::kStop;
    case engine::GenerateResult::Finish::kCancelled: return FinishReason::kCancelled;
  }
  return FinishReason::kCancelled;
}

}  // namespace

Partition::Partition(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Partition::Partition(Partition&&) noexcept = default;
Partition& Partition::operator=(Partition&&) noexcept = default;
Partition::~Partition() = default;

const std::string& Partition::name() const noexcept {
  static const std::string none;
  return impl_ ? impl_->partition.name() : none;
}

// The tokens of `text` here: the first text of a partition begins with the model's own first token.
Result<TracedTokens> Partition::Impl::traced(std::string_view text, const Origin& origin) const {
  if (text.empty()) return Error{ErrorCode::kBadInput, "there is no text to append", partition.name(), {}};
  const auto& tokenizer = model->engine->tokenizer();
  TracedTokens traced;
  const auto bos = tokenizer.bos();
  if (partition.ledger().tokens.size() == 0 && bos) traced.append(std::span(&*bos, 1), {.kind = OriginKind::kBos});
  BH_TRY(const auto tokens, tokenizer.tokenize(text));
  traced.append(tokens, origin);
  return traced;
}

Result<void> Partition::prefill(std::string_view text, std::stop_token cancel) {
  if (!impl_) return moved_from("partition");
  const std::lock_guard lock(impl_->calls);
  BH_TRY(const auto tokens, impl_->traced(text, {.kind = OriginKind::kTurn}));
  BH_CHECK(impl_->partition.prefill(tokens, std::move(cancel)));
  impl_->chat.end_token.reset();
  impl_->mark();
  return {};
}

Result<void> Partition::receive(const Message& message, std::stop_token cancel) {
  if (!impl_) return moved_from("partition");
  const std::lock_guard lock(impl_->calls);
  const Origin origin{.kind = OriginKind::kMessage, .turn = 0, .label = message.label()};
  BH_TRY(const auto tokens, impl_->traced(message.text(), origin));
  BH_CHECK(impl_->partition.receive(message, tokens, std::move(cancel)));
  impl_->chat.end_token.reset();
  impl_->mark();
  return {};
}

Result<void> Partition::chat(std::string_view role, std::string_view content, std::stop_token cancel) {
  if (!impl_) return moved_from("partition");
  const std::lock_guard lock(impl_->calls);
  if (impl_->chat_lost) {
    return Error{ErrorCode::kUnsupported, "the partition was cut in the middle of a turn of its chat", name(),
                 "cut it to the end of a turn, or to nothing"};
  }
  auto messages = impl_->chat.messages;
  messages.push_back({std::string(role), std::string(content)});
  const auto& tokenizer = impl_->model->engine->tokenizer();
  BH_TRY(const auto parts, engine::render_opaque(tokenizer, messages, role == "user"));
  auto text = prompt::text_of(parts);
  const auto held = impl_->chat.held_of(text, tokenizer);
  if (!held) {
    return Error{ErrorCode::kUnsupported, "this model's template rewrites earlier turns when a new one comes", name(),
                 "use prefill() with your own markup"};
  }
  BH_TRY(const auto tokens, prompt::tokens_of(parts, *held, tokenizer));
  BH_CHECK(impl_->partition.prefill(tokens, std::move(cancel)));
  impl_->chat = {.messages = std::move(messages), .rendered = std::move(text)};
  impl_->mark();
  return {};
}

Result<Generation> Partition::Impl::finish(const Result<engine::GenerateResult>& result, double total_ms) {
  if (!result.ok()) return result.error();
  BH_CHECK(partition.settle());
  return note(result.value(), total_ms);
}

Generation Partition::Impl::note(const engine::GenerateResult& result, double total_ms) {
  const bool ended = result.finish == engine::GenerateResult::Finish::kEnd && !result.tokens.empty();
  chat.note_answer(result.text, ended ? std::optional(result.tokens.back()) : std::nullopt);
  mark();
  Generation generation{.text = result.text,
                        .tokens = result.tokens,
                        .logit_hashes = result.logit_hashes,
                        .logprobs = result.logprobs,
                        .finish = reason(result.finish),
                        .ttft_ms = total_ms,
                        .decode_ms = 0};
  if (!result.token_times.empty()) {
    generation.ttft_ms = milliseconds(result.token_times.front());
    generation.decode_ms = milliseconds(result.token_times.back() - result.token_times.front());
  }
  return generation;
}

void Partition::Impl::mark() {
  if (chat_lost) return;
  const auto& messages = chat.messages;
  const auto now = partition.ledger().tokens.size();
  while (!marks.empty() && marks.back().tokens > now) marks.pop_back();
  marks.push_back({.tokens = now,
                   .messages = messages.size(),
                   .last_bytes = messages.empty() ? 0 : messages.back().content.size(),
                   .rendered = chat.rendered.size(),
                   .answered = chat.answered,
                   .end_token = chat.end_token});
}

void Partition::Impl::go_back(std::size_t tokens) {
  while (!marks.empty() && marks.back().tokens > tokens) marks.pop_back();
  if (tokens == 0) {
    chat = {};
    marks.clear();
    chat_lost = false;
    return;
  }
  chat_lost = marks.empty() || marks.back().tokens != tokens;
  if (chat_lost) return;
  const Mark& mark = marks.back();
  chat.messages.resize(mark.messages);
  if (!chat.messages.empty()) chat.messages.back().content.resize(mark.last_bytes);
  chat.rendered.resize(mark.rendered);
  chat.answered = mark.answered;
  chat.end_token = mark.end_token;
}

Result<Generation> Partition::generate(const GenerateOptions& options) {
  if (!impl_) return moved_from("partition");
  const std::lock_guard lock(impl_->calls);
  const std::vector<partition::GenerateRequest> requests = {{&impl_->partition, options, {}}};
  const auto begin = std::chrono::steady_clock::now();
  const auto results = partition::generate(*impl_->model->engine, requests);
  return impl_->finish(results.front(), milliseconds(std::chrono::steady_clock::now() - begin));
}

Result<void> Partition::truncate(std::uint64_t tokens) {
  if (!impl_) return moved_from("partition");
  const std::lock_guard lock(impl_->calls);
  BH_CHECK(impl_->partition.truncate(static_cast<std::size_t>(tokens)));
  impl_->go_back(static_cast<std::size_t>(tokens));
  return {};
}

Result<Partition> Partition::fork(std::string name) const {
  if (!impl_) return moved_from("partition");
  const std::lock_guard lock(impl_->calls);
  auto& model = *impl_->model;
  BH_CHECK(model.take_name(name));
  const auto tokens = static_cast<std::uint32_t>(impl_->partition.ledger().tokens.size());
  auto copy = impl_->partition.fork(name, tokens, model.engine_options(impl_->options));
  if (!copy.ok()) {
    model.give_back_name(name);
    return copy.error();
  }
  auto impl = std::make_unique<Impl>(impl_->model, std::move(copy).value(), impl_->options);
  impl->chat = impl_->chat;
  impl->chat_lost = impl_->chat_lost;
  impl->marks = impl_->marks;
  return Partition(std::move(impl));
}

Result<Message> Partition::last_output(std::string label) const {
  if (!impl_) return moved_from("partition");
  const std::lock_guard lock(impl_->calls);
  BH_CHECK(impl_->partition.inspect());  // a poisoned one says nothing more
  return impl_->partition.output_message(std::move(label));
}

std::string Partition::text() const {
  std::string text;
  if (!impl_) return text;
  const std::lock_guard lock(impl_->calls);
  const auto& tokenizer = impl_->model->engine->tokenizer();
  for (const auto token : impl_->partition.ledger().tokens.tokens) {
    const auto piece = tokenizer.piece(token);
    text += piece.empty() ? tokenizer.spelling(token) : piece;
  }
  return text;
}

PartitionUsage Partition::usage() const {
  if (!impl_) return {};
  const std::lock_guard lock(impl_->calls);
  const auto& ledger = impl_->partition.ledger();
  PartitionUsage usage{.name = name(),
                       .tokens = ledger.tokens.size(),
                       .prefilled_tokens = ledger.prefilled_tokens,
                       .reused_tokens = ledger.reused_tokens,
                       .generated_tokens = ledger.generated_tokens,
                       .removed_tokens = ledger.removed_tokens,
                       .messages_received = ledger.messages.size(),
                       .kv_bytes_used = 0,
                       .kv_bytes_allocated = 0,
                       .token_sha256 = ledger.token_sha256()};
  if (const auto state = impl_->partition.inspect(); state.ok()) {
    usage.kv_bytes_used = state.value().kv_bytes_used;
    usage.kv_bytes_allocated = state.value().kv_bytes_allocated;
  }
  return usage;
}

}  // namespace bulkhead
