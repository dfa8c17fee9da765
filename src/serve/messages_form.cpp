// SPDX-License-Identifier: MIT
// Anthropic's messages.
#include "serve/form.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace bulkhead::serve {
namespace {

using Finish = engine::GenerateResult::Finish;

// The stop string that ended a generation: the first to be complete in what was drawn.
std::optional<std::string> stop_of(const GenerationRequest& request, const engine::GenerateResult& result,
                                   const engine::Tokenizer& tokenizer) {
  if (result.finish != Finish::kStop) return std::nullopt;
  std::string drawn;
  for (const auto token : result.tokens) drawn += tokenizer.piece(token);
  std::optional<std::string> first;
  auto end = std::string::npos;
  for (const auto& stop : request.options.stop) {
    const auto at = drawn.find(stop);
    if (at == std::string::npos || (end != std::string::npos && at + stop.size() >= end)) continue;
    first = stop;
    end = at + stop.size();
  }
  return first;
}

std::string_view stop_reason(const Choice& choice) {
  if (was_cut(choice.result.finish)) return "max_tokens";
  if (!choice.answer.calls.empty()) return "tool_use";
  return choice.result.finish == Finish::kStop ? "stop_sequence" : "end_turn";
}

std::string_view error_type(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    default: return status < 500 ? "invalid_request_error" : "api_error";
  }
}

std::string named_event(std::string_view name, Json data) {
  Json typed = {{"type", name}};
  typed.update(data);
  return "event: " + std::string(name) + "\ndata: " + json_text(typed) + "\n\n";
}

// Whoever asks for caching (cache_control) is told of it as Anthropic counts: what was in the cache is not among the
// input tokens. Whoever does not is told of what was sent, and finds what was reused under `bulkhead`.
Json usage_json_of(const GenerationRequest& request, std::uint64_t prompt_tokens, std::uint64_t cached_tokens,
                   std::uint64_t output_tokens) {
  if (!request.asks_for_caching) return {{"input_tokens", prompt_tokens}, {"output_tokens", output_tokens}};
  return {{"input_tokens", prompt_tokens - cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", cached_tokens},
          {"output_tokens", output_tokens}};
}

Json message_json(const ReplyHead& head, Json content, Json reason, Json stop, Json usage) {
  return {{"id", head.id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", head.model},
          {"content", std::move(content)},
          {"stop_reason", std::move(reason)},
          {"stop_sequence", std::move(stop)},
          {"usage", std::move(usage)}};
}

Json error_json(const ApiError& error) {
  Json detail = {{"type", error_type(error.status)}, {"message", error.message}};
  if (!error.param.empty()) detail["param"] = error.param;
  return {{"type", "error"}, {"error", std::move(detail)}};
}

Json usage_json_of(const GenerationRequest& request, const Generated& generated) {
  return usage_json_of(request, generated.prompt_tokens, generated.reuse.tokens, generated.completion_tokens);
}

Json call_block(const engine::ToolCall& call) {
  const auto input = parse_json(call.arguments);
  return {{"type", "tool_use"},
          {"id", call.id},
          {"name", call.name},
          {"input", input.ok() && input->is_object() ? input.value() : Json::object()}};
}

// Blocks come one after another: a text at most, then calls.
class MessagesEvents final : public Events {
 public:
  MessagesEvents(const ReplyHead& head, const GenerationRequest& request, const engine::Tokenizer& tokenizer)
      : head_(head), request_(request), tokenizer_(tokenizer) {}

  [[nodiscard]] std::string first(std::uint64_t prompt_tokens, const Reuse& reuse) override {
    auto message =
        message_json(head_, Json::array(), nullptr, nullptr, usage_json_of(request_, prompt_tokens, reuse.tokens, 0));
    return named_event("message_start", {{"message", std::move(message)}}) + named_event("ping", Json::object());
  }

  [[nodiscard]] std::string more(std::uint32_t /*choice*/, const Delta& delta, const TokenEvent* /*event*/) override {
    std::string events;
    if (!delta.text.empty()) {
      if (blocks_ == 0) events += begin({{"type", "text"}, {"text", ""}});
      events += piece({{"type", "text_delta"}, {"text", delta.text}});
    }
    for (const auto& call : delta.calls) {
      if (call.begins) {
        events += begin({{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", Json::object()}});
      }
      if (!call.arguments.empty()) {
        events += piece({{"type", "input_json_delta"}, {"partial_json", call.arguments}});
      }
    }
    return events;
  }

  [[nodiscard]] std::string last(const Generated& generated) override {
    const auto& choice = generated.choices.front();
    const auto stop = stop_of(request_, choice.result, tokenizer_);
    auto events = more(0, choice.rest, nullptr);
    if (blocks_ == 0) events += begin({{"type", "text"}, {"text", ""}});
    return events + end() +
           named_event("message_delta",
                       {{"delta",
                         {{"stop_reason", stop_reason(choice)}, {"stop_sequence", stop ? Json(*stop) : Json(nullptr)}}},
                        {"usage", usage_json_of(request_, generated)},
                        {"bulkhead", own_json(request_, generated)}}) +
           named_event("message_stop", Json::object());
  }

  [[nodiscard]] std::string failed(const ApiError& error) override { return named_event("error", error_json(error)); }

 private:
  [[nodiscard]] std::string begin(Json block) {
    auto events = blocks_ == 0 ? std::string() : end();
    ++blocks_;
    return events + named_event("content_block_start", {{"index", blocks_ - 1}, {"content_block", std::move(block)}});
  }
  [[nodiscard]] std::string piece(Json delta) const {
    return named_event("content_block_delta", {{"index", blocks_ - 1}, {"delta", std::move(delta)}});
  }
  [[nodiscard]] std::string end() const { return named_event("content_block_stop", {{"index", blocks_ - 1}}); }

  const ReplyHead& head_;
  const GenerationRequest& request_;
  const engine::Tokenizer& tokenizer_;
  std::uint32_t blocks_ = 0;  // that have begun; the last of them is open
};

class MessagesForm final : public Form {
 public:
  [[nodiscard]] std::string_view id_prefix() const override { return "msg_"; }
  [[nodiscard]] std::string_view call_prefix() const override { return "toolu_"; }
  [[nodiscard]] Answer<GenerationRequest> read(const Json& body) const override { return read_messages_request(body); }
  [[nodiscard]] Json error(const ApiError& error) const override { return error_json(error); }

  [[nodiscard]] Json whole(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                           const engine::Tokenizer& tokenizer) const override {
    const auto& choice = generated.choices.front();
    const auto stop = stop_of(request, choice.result, tokenizer);
    Json content = Json::array();
    if (!choice.answer.content.empty()) content.push_back({{"type", "text"}, {"text", choice.answer.content}});
    for (const auto& call : choice.answer.calls) content.push_back(call_block(call));
    auto message = message_json(head, std::move(content), stop_reason(choice), stop ? Json(*stop) : Json(nullptr),
                                usage_json_of(request, generated));
    message["bulkhead"] = own_json(request, generated);
    return message;
  }

  [[nodiscard]] std::unique_ptr<Events> events(const ReplyHead& head, const GenerationRequest& request,
                                               const engine::Tokenizer& tokenizer) const override {
    return std::make_unique<MessagesEvents>(head, request, tokenizer);
  }
};

}  // namespace

const Form& messages_form() {
  static const MessagesForm form;
  return form;
}

}  // namespace bulkhead::serve
