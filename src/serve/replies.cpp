// SPDX-License-Identifier: MIT
#include "serve/replies.h"

#include "base/hash.h"

#include <fmt/format.h>

#include <cmath>
#include <span>

namespace bulkhead::serve {
namespace {

using Finish = engine::GenerateResult::Finish;

std::string_view reason_of(Finish finish) {
  return finish == Finish::kLength ? "length" : "stop";
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
  Json content = Json::array();
  for (std::size_t i = 0; i < tokens.size(); ++i) content.push_back(chat_logprobs(tokens[i], logprobs[i], tokenizer));
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

Json own_json(const GenerationRequest& request, const Generated& generated) {
  Json reuse = {{"tokens", generated.reuse.tokens}, {"reason", generated.reuse.reason}};
  if (generated.reuse.first_difference) reuse["first_difference"] = *generated.reuse.first_difference;
  Json own = {{"partition", generated.choices.front().partition}, {"reuse", std::move(reuse)}};
  if (generated.choices.size() > 1) {
    own["partitions"] = Json::array();
    for (const auto& choice : generated.choices) own["partitions"].push_back(choice.partition);
  }
  if (request.logits_hash) {
    own["logits_hash"] = Json::array();
    for (const auto& choice : generated.choices) own["logits_hash"].push_back(logits_hash_of(choice.result));
  }
  if (!request.labels.empty()) own["labels"] = request.labels;
  return own;
}

Json chunk(const ReplyHead& head, Json choices) {
  return {{"id", head.id},
          {"object", head.chat ? "chat.completion.chunk" : "text_completion"},
          {"created", head.created},
          {"model", head.model},
          {"choices", std::move(choices)}};
}

}  // namespace

Json whole_reply(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                 const engine::Tokenizer& tokenizer) {
  Json choices = Json::array();
  for (const auto& choice : generated.choices) {
    const auto& result = choice.result;
    Json one = {{"index", choice.index}};
    if (head.chat) {
      one["message"] = {{"role", "assistant"}, {"content", result.text}, {"refusal", nullptr}};
    } else {
      one["text"] = (request.echo ? request.prompt : std::string()) + result.text;
    }
    one["logprobs"] = logprobs_json(head.chat, result.tokens, result.logprobs, tokenizer);
    one["finish_reason"] = reason_of(result.finish);
    choices.push_back(std::move(one));
  }
  return {{"id", head.id},
          {"object", head.chat ? "chat.completion" : "text_completion"},
          {"created", head.created},
          {"model", head.model},
          {"choices", std::move(choices)},
          {"usage", usage_json(generated)},
          {"bulkhead", own_json(request, generated)}};
}

Json first_chunk(const ReplyHead& head, std::uint32_t choice) {
  return chunk(head, Json::array({{{"index", choice},
                                   {"delta", {{"role", "assistant"}, {"content", ""}}},
                                   {"logprobs", nullptr},
                                   {"finish_reason", nullptr}}}));
}

Json text_chunk(const ReplyHead& head, std::uint32_t choice, const std::string& text, const TokenEvent* event,
                const engine::Tokenizer& tokenizer) {
  Json one = {{"index", choice}};
  if (head.chat) {
    one["delta"] = {{"content", text}};
  } else {
    one["text"] = text;
  }
  const bool has_logprobs = event != nullptr && event->logprobs != nullptr;
  one["logprobs"] =
      has_logprobs ? logprobs_json(head.chat, std::span(&event->token, 1), std::span(event->logprobs, 1), tokenizer)
                   : Json(nullptr);
  one["finish_reason"] = nullptr;
  return chunk(head, Json::array({std::move(one)}));
}

Json last_chunk(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                std::size_t choice) {
  const auto& ended = generated.choices[choice];
  Json one = {{"index", ended.index}};
  if (head.chat) {
    one["delta"] = Json::object();
  } else {
    one["text"] = "";
  }
  one["logprobs"] = nullptr;
  one["finish_reason"] = reason_of(ended.result.finish);
  auto last = chunk(head, Json::array({std::move(one)}));
  if (choice + 1 == generated.choices.size()) last["bulkhead"] = own_json(request, generated);
  return last;
}

Json usage_chunk(const ReplyHead& head, const Generated& generated) {
  auto last = chunk(head, Json::array());
  last["usage"] = usage_json(generated);
  return last;
}

}  // namespace bulkhead::serve
