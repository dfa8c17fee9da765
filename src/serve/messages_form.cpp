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

std::string_view stop_reason(Finish finish) {
  switch (finish) {
    case Finish::kLength:
    case Finish::kCancelled: return "max_tokens";  // there was more to say
    case Finish::kStop: return "stop_sequence";
    default: return "end_turn";
  }
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

// Tokens that were in the cache are not among the input tokens, as Anthropic counts them.
Json usage_json_of(std::uint64_t prompt_tokens, std::uint64_t cached_tokens, std::uint64_t output_tokens) {
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

class MessagesForm final : public Form {
 public:
  [[nodiscard]] std::string_view id_prefix() const override { return "msg_"; }
  [[nodiscard]] Answer<GenerationRequest> read(const Json& body) const override { return read_messages_request(body); }
  [[nodiscard]] Json error(const ApiError& error) const override {
    Json detail = {{"type", error_type(error.status)}, {"message", error.message}};
    if (!error.param.empty()) detail["param"] = error.param;
    return {{"type", "error"}, {"error", std::move(detail)}};
  }

  [[nodiscard]] Json whole(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                           const engine::Tokenizer& tokenizer) const override {
    const auto& result = generated.choices.front().result;
    const auto stop = stop_of(request, result, tokenizer);
    Json content = Json::array();
    if (!result.text.empty()) content.push_back({{"type", "text"}, {"text", result.text}});
    auto message =
        message_json(head, std::move(content), stop_reason(result.finish), stop ? Json(*stop) : Json(nullptr),
                     usage_json_of(generated.prompt_tokens, generated.reuse.tokens, generated.completion_tokens));
    message["bulkhead"] = own_json(request, generated);
    return message;
  }

  [[nodiscard]] std::string first_events(const ReplyHead& head, const GenerationRequest& /*request*/,
                                         std::uint64_t prompt_tokens, const Reuse& reuse) const override {
    auto message = message_json(head, Json::array(), nullptr, nullptr, usage_json_of(prompt_tokens, reuse.tokens, 0));
    return named_event("message_start", {{"message", std::move(message)}}) +
           named_event("content_block_start", {{"index", 0}, {"content_block", {{"type", "text"}, {"text", ""}}}}) +
           named_event("ping", Json::object());
  }

  [[nodiscard]] std::string text_events(const ReplyHead& /*head*/, std::uint32_t /*choice*/, const std::string& text,
                                        const TokenEvent* /*event*/,
                                        const engine::Tokenizer& /*tokenizer*/) const override {
    if (text.empty()) return {};
    return named_event("content_block_delta", {{"index", 0}, {"delta", {{"type", "text_delta"}, {"text", text}}}});
  }

  [[nodiscard]] std::string last_events(const ReplyHead& head, const GenerationRequest& request,
                                        const Generated& generated, const engine::Tokenizer& tokenizer) const override {
    const auto& choice = generated.choices.front();
    const auto stop = stop_of(request, choice.result, tokenizer);
    return text_events(head, 0, choice.rest, nullptr, tokenizer) + named_event("content_block_stop", {{"index", 0}}) +
           named_event(
               "message_delta",
               {{"delta",
                 {{"stop_reason", stop_reason(choice.result.finish)},
                  {"stop_sequence", stop ? Json(*stop) : Json(nullptr)}}},
                {"usage", usage_json_of(generated.prompt_tokens, generated.reuse.tokens, generated.completion_tokens)},
                {"bulkhead", own_json(request, generated)}}) +
           named_event("message_stop", Json::object());
  }

  [[nodiscard]] std::string error_events(const ApiError& failure) const override {
    return named_event("error", error(failure));
  }
};

}  // namespace

const Form& messages_form() {
  static const MessagesForm form;
  return form;
}

}  // namespace bulkhead::serve
