// SPDX-License-Identifier: MIT
#include "serve/form.h"

#include "base/hash.h"

#include <fmt/format.h>

#include <cmath>
#include <span>

namespace bulkhead::serve {
namespace {

using Finish = engine::GenerateResult::Finish;

std::string_view reason_of(const Choice& choice) {
  if (was_cut(choice.result.finish)) return "length";
  return choice.answer.calls.empty() ? "stop" : "tool_calls";
}

// What is new of calls, for a chunk of a stream.
Json call_deltas(const std::vector<CallDelta>& deltas) {
  Json list = Json::array();
  for (const auto& delta : deltas) {
    Json one = {{"index", delta.index}};
    if (delta.begins) one.update({{"id", delta.id}, {"type", "function"}});
    one["function"] = {{"arguments", delta.arguments}};
    if (delta.begins) one["function"]["name"] = delta.name;
    list.push_back(std::move(one));
  }
  return list;
}

// JSON has no infinity; OpenAI gives -9999 for what has no probability.
double number_of(double logprob) {
  return std::isfinite(logprob) ? logprob : -9999.0;
}

Json token_json(engine::Token token, double logprob, const engine::Tokenizer& tokenizer) {
  const auto piece = tokenizer.piece(token);
  const auto text = piece.empty() ? tokenizer.spelling(token) : piece;
  Json bytes = Json::array();
  for (const char byte : text) bytes.push_back(static_cast<unsigned char>(byte));
  return {{"token", text}, {"logprob", number_of(logprob)}, {"bytes", std::move(bytes)}, {"id", token}};
}

Json chat_logprobs(engine::Token token, const TokenLogprobs& logprobs, const engine::Tokenizer& tokenizer) {
  auto entry = token_json(token, logprobs.logprob, tokenizer);
  entry["top_logprobs"] = Json::array();
  for (const auto& top : logprobs.top) entry["top_logprobs"].push_back(token_json(top.token, top.logprob, tokenizer));
  return entry;
}

// Of several tokens: a chat's list of objects, or a completion's parallel lists.
Json logprobs_json(bool chat, std::span<const engine::Token> tokens, std::span<const TokenLogprobs> logprobs,
                   const engine::Tokenizer& tokenizer) {
  if (logprobs.empty()) return nullptr;
  auto content = logprobs_list(tokens, logprobs, tokenizer);
  if (chat) return {{"content", std::move(content)}, {"refusal", nullptr}};
  Json lists = {{"tokens", Json::array()}, {"token_logprobs", Json::array()}, {"top_logprobs", Json::array()}};
  for (const auto& entry : content) {
    lists["tokens"].push_back(entry["token"]);
    lists["token_logprobs"].push_back(entry["logprob"]);
    Json top = Json::object();
    for (const auto& other : entry["top_logprobs"]) top[other["token"].get<std::string>()] = other["logprob"];
    lists["top_logprobs"].push_back(std::move(top));
  }
  return lists;
}

Json usage_json(const Generated& generated) {
  return {{"prompt_tokens", generated.prompt_tokens},
          {"completion_tokens", generated.completion_tokens},
          {"total_tokens", generated.prompt_tokens + generated.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", generated.reuse.tokens}}}};
}

// One number for the logits of all steps: XXH3 of their hashes, little-endian, in order.
std::string logits_hash_of(const engine::GenerateResult& result) {
  return fmt::format("{:016x}", xxh3_64(std::as_bytes(std::span(result.logit_hashes))));
}

std::string event_of(const Json& data) {
  return "data: " + json_text(data) + "\n\n";
}

class OpenAiEvents final : public Events {
 public:
  OpenAiEvents(bool chat, const ReplyHead& head, const GenerationRequest& request, const engine::Tokenizer& tokenizer)
      : chat_(chat), head_(head), request_(request), tokenizer_(tokenizer) {}

  [[nodiscard]] std::string first(std::uint64_t prompt_tokens, const Reuse& reuse) override;
  [[nodiscard]] std::string more(std::uint32_t choice, const Delta& delta, const TokenEvent* event) override;
  [[nodiscard]] std::string last(const Generated& generated) override;
  [[nodiscard]] std::string failed(const ApiError& error) override { return event_of(to_json(error)); }

 private:
  [[nodiscard]] Json chunk(Json choices) const {
    return {{"id", head_.id},
            {"object", chat_ ? "chat.completion.chunk" : "text_completion"},
            {"created", head_.created},
            {"model", head_.model},
            {"choices", std::move(choices)}};
  }
  // `delta`: of a chat; a completion has text in its place.
  [[nodiscard]] Json choice(std::uint32_t index, Json delta, const std::string& text, Json logprobs,
                            Json reason) const {
    Json one = {{"index", index}};
    if (chat_) {
      one["delta"] = std::move(delta);
    } else {
      one["text"] = text;
    }
    one["logprobs"] = std::move(logprobs);
    one["finish_reason"] = std::move(reason);
    return Json::array({std::move(one)});
  }

  bool chat_;
  const ReplyHead& head_;
  const GenerationRequest& request_;
  const engine::Tokenizer& tokenizer_;
};

std::string OpenAiEvents::first(std::uint64_t /*prompt_tokens*/, const Reuse& /*reuse*/) {
  std::string events;
  for (std::uint32_t i = 0; i < request_.choices && chat_; ++i) {
    events += event_of(chunk(choice(i, {{"role", "assistant"}, {"content", ""}}, {}, nullptr, nullptr)));
  }
  return events;
}

std::string OpenAiEvents::more(std::uint32_t index, const Delta& delta, const TokenEvent* event) {
  const bool has_logprobs = event != nullptr && event->logprobs != nullptr;
  if (delta.empty() && !has_logprobs) return {};
  auto logprobs = has_logprobs
                      ? logprobs_json(chat_, std::span(&event->token, 1), std::span(event->logprobs, 1), tokenizer_)
                      : Json(nullptr);
  Json json = Json::object();
  if (!delta.text.empty() || delta.calls.empty()) json["content"] = delta.text;
  if (!delta.calls.empty()) json["tool_calls"] = call_deltas(delta.calls);
  return event_of(chunk(choice(index, std::move(json), delta.text, std::move(logprobs), nullptr)));
}

std::string OpenAiEvents::last(const Generated& generated) {
  std::string events;
  for (const auto& one : generated.choices) {
    events += more(one.index, one.rest, nullptr);
    auto last = chunk(choice(one.index, Json::object(), {}, nullptr, reason_of(one)));
    if (&one == &generated.choices.back()) last["bulkhead"] = own_json(request_, generated);
    events += event_of(last);
  }
  if (request_.stream_usage) {  // a chunk without choices, which only clients that ask for it expect
    auto usage = chunk(Json::array());
    usage["usage"] = usage_json(generated);
    events += event_of(usage);
  }
  return events + "data: [DONE]\n\n";
}

class OpenAiForm final : public Form {
 public:
  explicit OpenAiForm(bool chat) : chat_(chat) {}

  [[nodiscard]] std::string_view id_prefix() const override { return chat_ ? "chatcmpl-" : "cmpl-"; }
  [[nodiscard]] Answer<GenerationRequest> read(const Json& body) const override {
    return chat_ ? read_chat_request(body) : read_completion_request(body);
  }
  [[nodiscard]] Json error(const ApiError& error) const override { return to_json(error); }
  [[nodiscard]] Json whole(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                           const engine::Tokenizer& tokenizer) const override;
  [[nodiscard]] std::unique_ptr<Events> events(const ReplyHead& head, const GenerationRequest& request,
                                               const engine::Tokenizer& tokenizer) const override {
    return std::make_unique<OpenAiEvents>(chat_, head, request, tokenizer);
  }

 private:
  bool chat_;
};

Json message_of(const engine::AnswerParts& answer) {
  const bool is_silent = answer.content.empty() && !answer.calls.empty();
  Json message = {
      {"role", "assistant"}, {"content", is_silent ? Json(nullptr) : Json(answer.content)}, {"refusal", nullptr}};
  for (const auto& call : answer.calls) message["tool_calls"].push_back(call_json(call));
  return message;
}

Json OpenAiForm::whole(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                       const engine::Tokenizer& tokenizer) const {
  Json choices = Json::array();
  for (const auto& one : generated.choices) {
    const auto& result = one.result;
    Json json = {{"index", one.index}};
    if (chat_) {
      json["message"] = message_of(one.answer);
    } else {
      json["text"] = (request.echo ? request.prompt : std::string()) + result.text;
    }
    json["logprobs"] = logprobs_json(chat_, result.tokens, result.logprobs, tokenizer);
    json["finish_reason"] = reason_of(one);
    choices.push_back(std::move(json));
  }
  return {{"id", head.id},
          {"object", chat_ ? "chat.completion" : "text_completion"},
          {"created", head.created},
          {"model", head.model},
          {"choices", std::move(choices)},
          {"usage", usage_json(generated)},
          {"bulkhead", own_json(request, generated)}};
}

}  // namespace

const Form& chat_form() {
  static const OpenAiForm form(true);
  return form;
}

const Form& completion_form() {
  static const OpenAiForm form(false);
  return form;
}

bool was_cut(engine::GenerateResult::Finish finish) {
  return finish == Finish::kLength || finish == Finish::kCancelled;
}

Json logprobs_list(std::span<const engine::Token> tokens, std::span<const TokenLogprobs> logprobs,
                   const engine::Tokenizer& tokenizer) {
  Json list = Json::array();
  for (std::size_t i = 0; i < tokens.size() && i < logprobs.size(); ++i) {
    list.push_back(chat_logprobs(tokens[i], logprobs[i], tokenizer));
  }
  return list;
}

Json own_json(const GenerationRequest& request, const Generated& generated) {
  Json reuse = {{"tokens", generated.reuse.tokens}, {"reason", generated.reuse.reason}};
  if (generated.reuse.first_difference) reuse["first_difference"] = *generated.reuse.first_difference;
  Json own = {{"partition", generated.choices.front().partition}, {"reuse", std::move(reuse)}};
  if (!request.cluster.empty()) own["cluster"] = request.cluster;
  if (generated.choices.size() > 1) {
    own["partitions"] = Json::array();
    for (const auto& choice : generated.choices) own["partitions"].push_back(choice.partition);
  }
  if (request.logits_hash) {
    own["logits_hash"] = Json::array();
    for (const auto& choice : generated.choices) own["logits_hash"].push_back(logits_hash_of(choice.result));
  }
  for (const auto& one : generated.messages) {
    own["messages"].push_back({{"from", one.from}, {"turn", one.turn}, {"sha256", one.sha256}});
  }
  if (!request.labels.empty()) own["labels"] = request.labels;
  return own;
}

}  // namespace bulkhead::serve
