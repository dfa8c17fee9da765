// SPDX-License-Identifier: MIT
#include "serve/responses_form.h"

#include <algorithm>
#include <utility>

namespace bulkhead::serve {
namespace {

using engine::ToolCall;

std::string item_id(const ReplyHead& head, std::string_view prefix, std::size_t index) {
  return fmt::format("{}{}_{}", prefix, std::string_view(head.id).substr(head.id.find('_') + 1), index);
}

Json text_part(const std::string& text, Json logprobs) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", Json::array()},
          {"logprobs", logprobs.is_array() ? std::move(logprobs) : Json::array()}};
}

Json message_item(const std::string& id, std::string_view status, Json content) {
  return {{"id", id}, {"type", "message"}, {"status", status}, {"role", "assistant"}, {"content", std::move(content)}};
}

Json call_item(const std::string& id, std::string_view status, const ToolCall& call) {
  return {{"id", id},           {"type", "function_call"}, {"status", status},
          {"call_id", call.id}, {"name", call.name},       {"arguments", call.arguments}};
}

bool is_cut(const Choice& choice) {
  return was_cut(choice.result.finish);
}

// A message where there is a text, or nothing else; then the calls.
Json items_of(const ReplyHead& head, const Choice& choice, const engine::Tokenizer& tokenizer) {
  Json items = Json::array();
  const auto status = is_cut(choice) ? "incomplete" : "completed";
  if (!choice.answer.content.empty() || choice.answer.calls.empty()) {
    auto logprobs = logprobs_list(choice.result.tokens, choice.result.logprobs, tokenizer);
    items.push_back(message_item(item_id(head, "msg_", 0), status,
                                 Json::array({text_part(choice.answer.content, std::move(logprobs))})));
  }
  for (const auto& call : choice.answer.calls) {
    items.push_back(call_item(item_id(head, "fc_", items.size()), status, call));
  }
  return items;
}

Json usage_of(const Generated& generated) {
  return {{"input_tokens", generated.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", generated.reuse.tokens}}},
          {"output_tokens", generated.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", 0}}},
          {"total_tokens", generated.prompt_tokens + generated.completion_tokens}};
}

// What is the same at its beginning and its end; what the request said is said again.
Json response_json(const ReplyHead& head, const GenerationRequest& request, std::string_view status) {
  const auto& asked = request.echoed;
  const auto or_else = [&](const char* name, Json otherwise) {
    const auto found = asked.find(name);
    return found == asked.end() || found->is_null() ? std::move(otherwise) : *found;
  };
  auto text = or_else("text", Json::object());
  if (!text.contains("format")) text["format"] = {{"type", "text"}};
  return {{"id", head.id},
          {"object", "response"},
          {"created_at", head.created},
          {"completed_at", nullptr},
          {"status", status},
          {"background", false},
          {"error", nullptr},
          {"incomplete_details", nullptr},
          {"instructions", or_else("instructions", nullptr)},
          {"max_output_tokens", or_else("max_output_tokens", nullptr)},
          {"max_tool_calls", nullptr},
          {"model", head.model},
          {"output", Json::array()},
          {"parallel_tool_calls", request.tools.several_calls},
          {"previous_response_id", or_else("previous_response_id", nullptr)},
          {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
          {"store", request.store},
          {"temperature", request.options.sampling.temperature},
          {"text", std::move(text)},
          {"tool_choice", or_else("tool_choice", "auto")},
          {"tools", or_else("tools", Json::array())},
          {"top_logprobs", request.options.logprobs.value_or(0)},
          {"top_p", request.options.sampling.top_p},
          {"truncation", "disabled"},
          {"presence_penalty", 0},
          {"frequency_penalty", 0},
          {"service_tier", "default"},
          {"safety_identifier", or_else("safety_identifier", nullptr)},
          {"prompt_cache_key", or_else("prompt_cache_key", nullptr)},
          {"usage", nullptr},
          {"user", or_else("user", nullptr)},
          {"metadata", or_else("metadata", Json::object())}};
}

Json whole_response(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                    const engine::Tokenizer& tokenizer) {
  const auto& choice = generated.choices.front();
  auto response = response_json(head, request, is_cut(choice) ? "incomplete" : "completed");
  if (is_cut(choice)) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  if (!is_cut(choice)) response["completed_at"] = head.created;
  response["output"] = items_of(head, choice, tokenizer);
  response["usage"] = usage_of(generated);
  response["bulkhead"] = own_json(request, generated);
  return response;
}

// Items come one after another: a message at most, then calls. Each is opened, filled and closed.
class ResponsesEvents final : public Events {
 public:
  ResponsesEvents(const ReplyHead& head, const GenerationRequest& request, const engine::Tokenizer& tokenizer)
      : head_(head), request_(request), tokenizer_(tokenizer) {}

  [[nodiscard]] std::string first(std::uint64_t /*prompt_tokens*/, const Reuse& /*reuse*/) override {
    const auto begun = response_json(head_, request_, "in_progress");
    add("response.created", {{"response", begun}});
    add("response.in_progress", {{"response", begun}});
    return std::exchange(events_, {});
  }
  [[nodiscard]] std::string more(std::uint32_t choice, const Delta& delta, const TokenEvent* token) override;
  [[nodiscard]] std::string last(const Generated& generated) override;
  [[nodiscard]] std::string failed(const ApiError& error) override {
    add("error", {{"code", error.type},
                  {"message", error.message},
                  {"param", error.param.empty() ? Json(nullptr) : Json(error.param)}});
    return std::exchange(events_, {});
  }

 private:
  void add(std::string_view type, Json data) {
    Json whole = {{"type", type}, {"sequence_number", sequence_++}};
    whole.update(data);
    events_ += fmt::format("event: {}\ndata: {}\n\n", type, json_text(whole));
  }
  [[nodiscard]] Json at_item(Json more) const {
    Json data = {{"item_id", id_}, {"output_index", items_ - 1}};
    data.update(more);
    return data;
  }
  void add_item(std::string_view type, Json item) {
    add(type, {{"output_index", items_ - 1}, {"item", std::move(item)}});
  }
  void open_message();
  void open_call(const CallDelta& call);
  void add_delta(const Delta& delta, const TokenEvent* token);
  // `status`: of the item.
  void close(std::string_view status);

  const ReplyHead& head_;
  const GenerationRequest& request_;
  const engine::Tokenizer& tokenizer_;
  std::string events_ = {};  // that are to be sent
  std::uint64_t sequence_ = 0;
  std::size_t items_ = 0;  // that have begun; the last of them is open
  std::string id_ = {};    // of that one
  bool is_call_ = false;
  std::string text_ = {};
  Json logprobs_ = Json::array();
  ToolCall call_ = {};
};

void ResponsesEvents::open_message() {
  id_ = item_id(head_, "msg_", items_++);
  is_call_ = false;
  add_item("response.output_item.added", message_item(id_, "in_progress", Json::array()));
  add("response.content_part.added", at_item({{"content_index", 0}, {"part", text_part("", nullptr)}}));
}

void ResponsesEvents::open_call(const CallDelta& call) {
  if (items_ > 0) close("completed");
  id_ = item_id(head_, "fc_", items_++);
  is_call_ = true;
  call_ = {.id = call.id, .name = call.name, .arguments = {}};
  add_item("response.output_item.added", call_item(id_, "in_progress", call_));
}

void ResponsesEvents::close(std::string_view status) {
  if (is_call_) {
    add("response.function_call_arguments.done", at_item({{"name", call_.name}, {"arguments", call_.arguments}}));
    return add_item("response.output_item.done", call_item(id_, status, call_));
  }
  const auto part = text_part(text_, logprobs_);
  add("response.output_text.done", at_item({{"content_index", 0}, {"text", text_}, {"logprobs", logprobs_}}));
  add("response.content_part.done", at_item({{"content_index", 0}, {"part", part}}));
  add_item("response.output_item.done", message_item(id_, status, Json::array({part})));
}

void ResponsesEvents::add_delta(const Delta& delta, const TokenEvent* token) {
  Json logprobs = Json::array();
  if (token != nullptr && token->logprobs != nullptr) {
    logprobs = logprobs_list(std::span(&token->token, 1), std::span(token->logprobs, 1), tokenizer_);
  }
  if (!delta.text.empty()) {
    if (items_ == 0) open_message();
    text_ += delta.text;
    for (const auto& one : logprobs) logprobs_.push_back(one);
    add("response.output_text.delta",
        at_item({{"content_index", 0}, {"delta", delta.text}, {"logprobs", std::move(logprobs)}}));
  }
  for (const auto& call : delta.calls) {
    if (call.begins) open_call(call);
    call_.arguments += call.arguments;
    if (call.arguments.empty()) continue;
    add("response.function_call_arguments.delta", at_item({{"delta", call.arguments}}));
  }
}

std::string ResponsesEvents::more(std::uint32_t /*choice*/, const Delta& delta, const TokenEvent* token) {
  add_delta(delta, token);
  return std::exchange(events_, {});
}

std::string ResponsesEvents::last(const Generated& generated) {
  const auto& choice = generated.choices.front();
  add_delta(choice.rest, nullptr);
  if (items_ == 0) open_message();
  close(is_cut(choice) ? "incomplete" : "completed");
  add(is_cut(choice) ? "response.incomplete" : "response.completed",
      {{"response", whole_response(head_, request_, generated, tokenizer_)}});
  return std::exchange(events_, {}) + "data: [DONE]\n\n";
}

class ResponsesForm final : public Form {
 public:
  ResponsesForm(ResponseStore& store, std::string owner) : store_(store), owner_(std::move(owner)) {}

  [[nodiscard]] std::string_view id_prefix() const override { return "resp_"; }
  [[nodiscard]] Answer<GenerationRequest> read(const Json& body) const override {
    return read_responses_request(body, [&](const std::string& id) -> std::optional<std::vector<engine::ChatMessage>> {
      auto found = store_.find(owner_, id);
      return found ? std::optional(std::move(found->messages)) : std::nullopt;
    });
  }
  [[nodiscard]] Json error(const ApiError& error) const override { return to_json(error); }
  [[nodiscard]] Json whole(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                           const engine::Tokenizer& tokenizer) const override {
    return whole_response(head, request, generated, tokenizer);
  }
  [[nodiscard]] std::unique_ptr<Events> events(const ReplyHead& head, const GenerationRequest& request,
                                               const engine::Tokenizer& tokenizer) const override {
    return std::make_unique<ResponsesEvents>(head, request, tokenizer);
  }
  void finished(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                const engine::Tokenizer& tokenizer) const override {
    if (!request.store) return;
    const auto& answer = generated.choices.front().answer;
    const bool instructed = request.echoed.contains("instructions") && !request.messages.empty() &&
                            request.messages.front().role == "system";
    auto messages = request.messages;
    if (instructed) messages.erase(messages.begin());
    messages.push_back({.role = "assistant", .content = answer.content, .calls = answer.calls});
    store_.put(owner_, {head.id, std::move(messages), whole_response(head, request, generated, tokenizer)});
  }

 private:
  ResponseStore& store_;
  std::string owner_;
};

}  // namespace

std::shared_ptr<const Form> responses_form(ResponseStore& store, std::string owner) {
  return std::make_shared<ResponsesForm>(store, std::move(owner));
}

}  // namespace bulkhead::serve
