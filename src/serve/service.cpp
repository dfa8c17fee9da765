// SPDX-License-Identifier: MIT
#include "serve/service.h"

#include "engine/opaque_chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::serve {

using conversation::OriginKind;
using Finish = engine::GenerateResult::Finish;

Service::Service(std::unique_ptr<engine::Engine> engine, Limits limits)
    : desk_(desk::Desk::open(std::move(engine))), engine_(desk_->client()), conversations_(*engine_, limits) {}

namespace {

// Whether the template must know of tools to render it.
bool has_tools(const GenerationRequest& request) {
  const auto speaks_of_them = [](const engine::ChatMessage& message) {
    return message.role == "tool" || !message.calls.empty();
  };
  return !request.tools.tools.empty() || std::ranges::any_of(request.messages, speaks_of_them);
}

engine::ToolChatRequest chat_of(std::span<const engine::ChatMessage> messages, const ToolUse& use, bool open) {
  return {.messages = messages,
          .tools = use.tools,
          .must_call = use.must_call,
          .only = use.only,
          .several_calls = use.several_calls,
          .open_assistant_turn = open};
}

// What stands behind the last content is what the template writes behind every turn.
std::optional<prompt::ChatBeginning> beginning_of(const engine::Tokenizer& tokenizer,
                                                  std::span<const engine::ChatMessage> messages, const ToolUse& use) {
  std::vector<engine::ChatMessage> plain(messages.begin(), messages.end());
  plain.back() = {.role = "assistant", .content = "a"};
  const auto said = engine::render_opaque_tools(tokenizer, chat_of(plain, use, false));
  const auto called = engine::render_opaque_tools(tokenizer, chat_of(messages, use, false));
  if (!said.ok() || !called.ok()) return std::nullopt;
  const auto content = std::find_if(said->parts.rbegin(), said->parts.rend(),
                                    [](const engine::ChatPart& part) { return !part.from_template; });
  const auto ending = prompt::text_of(std::span(content.base(), said->parts.end()));
  prompt::ChatBeginning beginning{.rendered = prompt::text_of(called->parts)};
  if (!beginning.rendered.ends_with(ending)) return std::nullopt;
  beginning.said = beginning.rendered.size() - ending.size();
  return beginning;
}

}  // namespace

Result<void> Service::render(GenerationRequest& request, Wanted& wanted) const {
  const auto& tokenizer = engine_->tokenizer();
  if (!has_tools(request)) {
    BH_TRY(wanted.parts, engine::render_opaque(tokenizer, wanted.messages, true));
  } else {
    BH_TRY(auto chat, engine::render_opaque_tools(tokenizer, chat_of(wanted.messages, request.tools, true)));
    wanted.parts = std::move(chat.parts);
    request.reader = std::move(chat.reader);
    if (!request.tools.tools.empty()) {
      request.options.grammar = std::move(chat.grammar);
      request.options.grammar_prefix = std::move(chat.grammar_prefix);
      request.options.grammar_triggers = std::move(chat.grammar_triggers);
    }
    request.options.stop.insert(request.options.stop.end(), chat.stop.begin(), chat.stop.end());
    wanted.beginning = [&tokenizer, messages = request.messages, use = request.tools](std::size_t count) {
      return beginning_of(tokenizer, std::span(messages).first(std::min(count, messages.size())), use);
    };
  }
  wanted.rendered = prompt::text_of(wanted.parts);
  BH_TRY(wanted.tokens, prompt::tokens_of(wanted.parts, 0, tokenizer));
  return {};
}

Answer<Wanted> Service::wanted(GenerationRequest& request) const {
  const auto& tokenizer = engine_->tokenizer();
  Wanted wanted{.messages = request.messages};
  if (!wanted.messages.empty()) {
    if (const auto rendered = render(request, wanted); !rendered.ok()) {
      auto answer = api_error_of(rendered.error());
      if (rendered.error().place.starts_with("tool")) answer.param = "tools";
      return answer;
    }
  } else if (!request.prompt_tokens.empty()) {
    wanted.tokens.append(request.prompt_tokens, {.kind = OriginKind::kTurn});
  } else {
    if (const auto bos = tokenizer.bos()) wanted.tokens.append(std::span(&*bos, 1), {.kind = OriginKind::kBos});
    const auto tokens = tokenizer.tokenize(request.prompt);
    if (!tokens.ok()) return api_error_of(tokens.error());
    wanted.tokens.append(tokens.value(), {.kind = OriginKind::kTurn});
  }
  const auto most = facts().context_tokens;
  const auto vocabulary = static_cast<engine::Token>(facts().vocabulary);
  if (std::ranges::any_of(wanted.tokens.tokens, [&](engine::Token token) { return token >= vocabulary; })) {
    return invalid_request(fmt::format("a token id must be below {}", vocabulary), "prompt");
  }
  if (wanted.tokens.size() >= most) {
    return ApiError{
        .status = 400,
        .type = "exceed_context_size_error",
        .message = fmt::format("the request has {} tokens, and a partition holds {}", wanted.tokens.size(), most),
        .more = {{"n_prompt_tokens", wanted.tokens.size()}, {"n_ctx", most}}};
  }
  return wanted;
}

Answer<Conversations::Lease> Service::prefill(const std::string& owner, const Identity& identity, const Wanted& wanted,
                                              const std::stop_token& cancel, const std::function<void()>& still_at_it) {
  auto lease = conversations_.take(owner, identity, wanted, cancel);
  if (!lease.ok()) return api_error_of(lease.error());
  if (lease->tail().size() > 0) {
    const auto done = lease->partition().prefill(lease->tail(), cancel, [&](std::uint32_t /*tokens*/) {
      if (still_at_it) still_at_it();
    });
    if (!done.ok()) {
      // What was stopped or has no room left nothing behind; anything else may have.
      const auto code = done.error().code;
      if (code != ErrorCode::kInterrupted && code != ErrorCode::kResource) lease->give_up();
      return api_error_of(done.error());
    }
  }
  lease->prefilled(wanted);
  counters_.prompt_tokens += lease->partition().ledger().tokens.size();
  counters_.cached_tokens += lease->reuse().tokens;
  return std::move(lease).value();
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
    auto rest = streams[i].finish(result.text, !ended && result.finish != Finish::kStop);
    leases[i].answered(streams[i].answer(), ended ? std::optional(result.tokens.back()) : std::nullopt);
    generated.completion_tokens += result.tokens.size();
    if (result.finish == Finish::kCancelled) ++counters_.cancelled;
    generated.choices.push_back({i, leases[i].id(), std::move(result), streams[i].answer(), std::move(rest)});
  }
  counters_.completion_tokens += generated.completion_tokens;
  return generated;
}

}  // namespace bulkhead::serve
