// SPDX-License-Identifier: MIT
#include "serve/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::serve {

using conversation::OriginKind;
using Finish = engine::GenerateResult::Finish;

Service::Service(std::unique_ptr<engine::Engine> engine, Limits limits)
    : desk_(desk::Desk::open(std::move(engine))),
      engine_(desk_->client()),
      limits_(limits),
      conversations_(*engine_, limits) {}

namespace {

// What the template demands of the answer.
void take_answer_form(engine::ToolChat chat, GenerationRequest& request) {
  request.reader = std::move(chat.reader);
  request.options.stop.insert(request.options.stop.end(), chat.stop.begin(), chat.stop.end());
  if (chat.grammar.empty()) return;
  request.options.grammar = std::move(chat.grammar);
  request.options.grammar_prefix = std::move(chat.grammar_prefix);
  request.options.grammar_triggers = std::move(chat.grammar_triggers);
}

}  // namespace

Answer<Wanted> Service::wanted(const std::string& owner, GenerationRequest& request) const {
  const auto& tokenizer = engine_->tokenizer();
  Wanted wanted{.messages = request.messages, .tools = request.tools};
  if (!wanted.messages.empty()) {
    if (auto undelivered = deliver(owner, request.outputs, wanted)) return *std::move(undelivered);
    auto chat = render(wanted, true, tokenizer);
    if (!chat.ok()) {
      auto answer = api_error_of(chat.error());
      if (chat.error().place.starts_with("tool")) answer.param = "tools";
      if (chat.error().place == "messages") answer.param = "messages";
      return answer;
    }
    take_answer_form(std::move(chat).value(), request);
  } else if (!request.prompt_tokens.empty()) {
    wanted.tokens.append(request.prompt_tokens, {.kind = OriginKind::kTurn});
  } else {
    if (const auto bos = tokenizer.bos()) wanted.tokens.append(std::span(&*bos, 1), {.kind = OriginKind::kBos});
    const auto tokens = tokenizer.tokenize(request.prompt);
    if (!tokens.ok()) return api_error_of(tokens.error());
    wanted.tokens.append(tokens.value(), {.kind = OriginKind::kTurn});
  }
  if (auto wrong = check_tokens(wanted)) return *std::move(wrong);
  return wanted;
}

std::optional<ApiError> Service::check_tokens(const Wanted& wanted) const {
  const auto most = facts().context_tokens;
  const auto vocabulary = static_cast<engine::Token>(facts().vocabulary);
  if (std::ranges::any_of(wanted.tokens.tokens, [&](engine::Token token) { return token >= vocabulary; })) {
    return invalid_request(fmt::format("a token id must be below {}", vocabulary), "prompt");
  }
  if (wanted.tokens.size() < most) return std::nullopt;
  return ApiError{
      .status = 400,
      .type = "exceed_context_size_error",
      .message = fmt::format("the request has {} tokens, and a partition holds {}", wanted.tokens.size(), most),
      .more = {{"n_prompt_tokens", wanted.tokens.size()}, {"n_ctx", most}}};
}

Answer<Conversations::Lease> Service::take(const std::string& owner, const Identity& identity, const Wanted& wanted,
                                           const std::stop_token& cancel) {
  auto lease = conversations_.take(owner, identity, wanted, cancel);
  if (!lease.ok()) return partition_error_of(lease.error());
  return std::move(lease).value();
}

std::optional<ApiError> Service::prefill_tail(const Conversations::Lease& lease, const std::stop_token& cancel) {
  if (lease.tail().size() == 0) return std::nullopt;
  const auto done = lease.partition().receive(lease.arrivals(), lease.tail(), cancel);
  if (done.ok()) return std::nullopt;
  // What was stopped or has no room left nothing behind; anything else may have.
  const auto code = done.error().code;
  if (code != ErrorCode::kInterrupted && code != ErrorCode::kResource) lease.give_up();
  return api_error_of(done.error());
}

std::optional<ApiError> Service::prefill(Conversations::Lease& lease, const Wanted& wanted,
                                         const std::stop_token& cancel) {
  if (auto failed = prefill_tail(lease, cancel)) return failed;
  lease.prefilled(wanted);
  conversations_.share(lease);
  counters_.prompt_tokens += lease.partition().ledger().tokens.size();
  counters_.cached_tokens += lease.reuse().tokens;
  return std::nullopt;
}

namespace {

GenerateOptions options_of(const GenerationRequest& request, std::uint32_t index, std::uint64_t held,
                           std::uint64_t context) {
  auto options = request.options;
  const auto room = static_cast<std::uint32_t>(context - held);
  options.max_tokens = std::min(request.max_tokens.value_or(room), room);
  options.sampling.seed += index;
  return options;
}

}  // namespace

Answer<Generated> Service::generate(Conversations::Lease lease, const GenerationRequest& request, const OnText& on_text,
                                    const std::stop_token& cancel, const std::function<std::string()>& new_call_id) {
  Generated generated{.prompt_tokens = lease.partition().ledger().tokens.size(), .reuse = lease.reuse()};
  for (const auto& crossing : lease.crossings()) {
    const auto& output = crossing.output;
    generated.messages.push_back({output.from(), turn_of_label(output.label()), output.sha256(), crossing.tokens});
  }
  std::vector<Conversations::Lease> leases;
  leases.push_back(std::move(lease));
  while (leases.size() < request.choices) {
    auto child = conversations_.fork(leases.front());
    if (!child.ok()) return api_error_of(child.error());
    leases.push_back(std::move(child).value());
  }
  std::stop_source stop;
  const std::stop_callback stopped(cancel, [&] { stop.request_stop(); });
  std::vector<AnswerStream> streams(leases.size(), AnswerStream(request.options.stop, request.reader, new_call_id));
  std::vector<partition::GenerateRequest> requests;
  for (std::uint32_t i = 0; i < leases.size(); ++i) {
    auto options = options_of(request, i, generated.prompt_tokens, facts().context_tokens);
    options.cancel = stop.get_token();
    if (on_text) {
      options.on_token = [&, i](const TokenEvent& event) {
        if (on_text(i, event, streams[i].append(event.piece))) return true;
        stop.request_stop();
        return false;
      };
    }
    requests.push_back({&leases[i].partition(), std::move(options), {}});
  }
  auto results = partition::generate(*engine_, requests);
  for (std::uint32_t i = 0; i < results.size(); ++i) {
    if (results[i].ok()) {
      // The next request is compared with what the ledger holds, which must be what was answered.
      if (const auto settled = leases[i].partition().settle(true); !settled.ok()) results[i] = settled.error();
    }
    if (!results[i].ok()) {
      if (results[i].error().code != ErrorCode::kUnsupported) leases[i].give_up();
      return api_error_of(results[i].error());
    }
    auto& result = results[i].value();
    const bool ended = result.finish == Finish::kEnd && !result.tokens.empty();
    auto rest = streams[i].finish(result.text);
    leases[i].answered(result.text, streams[i].answer(), ended ? std::optional(result.tokens.back()) : std::nullopt);
    generated.completion_tokens += result.tokens.size();
    if (result.finish == Finish::kCancelled) ++counters_.cancelled;
    generated.choices.push_back({i, leases[i].id(), std::move(result), streams[i].answer(), std::move(rest)});
  }
  counters_.completion_tokens += generated.completion_tokens;
  return generated;
}

}  // namespace bulkhead::serve
