// SPDX-License-Identifier: MIT
// The forms in which a generation is asked for and answered: OpenAI's chat completions, completions and responses,
// Anthropic's messages. What lies between the question and the answer is the same for all.
#pragma once

#include "base/json.h"
#include "engine/engine.h"
#include "serve/answer_stream.h"
#include "serve/generation_request.h"
#include "serve/service.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace bulkhead::serve {

// What all parts of one answer share.
struct ReplyHead {
  std::string id = {};
  std::string model = {};
  std::int64_t created = 0;  // seconds since 1970
};

// One answer as server-sent events. Each call gives the events that come next; they may be empty.
class Events {
 public:
  Events() = default;
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  virtual ~Events() = default;

  [[nodiscard]] virtual std::string first(std::uint64_t prompt_tokens, const Reuse& reuse) = 0;
  // What is new of one choice, and the token that it came with; null: none, it is what stop strings held back.
  [[nodiscard]] virtual std::string more(std::uint32_t choice, const Delta& delta, const TokenEvent* event) = 0;
  [[nodiscard]] virtual std::string last(const Generated& generated) = 0;
  [[nodiscard]] virtual std::string failed(const ApiError& error) = 0;
};

class Form {
 public:
  Form() = default;
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;
  virtual ~Form() = default;

  [[nodiscard]] virtual std::string_view id_prefix() const = 0;
  [[nodiscard]] virtual std::string_view call_prefix() const { return "call_"; }  // of the ids of calls
  [[nodiscard]] virtual Answer<GenerationRequest> read(const Json& body) const = 0;
  [[nodiscard]] virtual Json error(const ApiError& error) const = 0;
  [[nodiscard]] virtual Json whole(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                                   const engine::Tokenizer& tokenizer) const = 0;
  // All arguments must outlive what it gives.
  [[nodiscard]] virtual std::unique_ptr<Events> events(const ReplyHead& head, const GenerationRequest& request,
                                                       const engine::Tokenizer& tokenizer) const = 0;
  // Called when all is generated, before the end of it is sent.
  virtual void finished(const ReplyHead& /*head*/, const GenerationRequest& /*request*/, const Generated& /*generated*/,
                        const engine::Tokenizer& /*tokenizer*/) const {}
};

// They live for ever. The form of responses holds earlier ones (responses_form.h).
[[nodiscard]] const Form& chat_form();
[[nodiscard]] const Form& completion_form();
[[nodiscard]] const Form& messages_form();

// There was more to say.
[[nodiscard]] bool was_cut(engine::GenerateResult::Finish finish);

// What Bulkhead has to say beside every form: partition, reuse, hashes, labels.
[[nodiscard]] Json own_json(const GenerationRequest& request, const Generated& generated);

// Of several tokens, as OpenAI's chats and responses tell them: a list of objects.
[[nodiscard]] Json logprobs_list(std::span<const engine::Token> tokens, std::span<const TokenLogprobs> logprobs,
                                 const engine::Tokenizer& tokenizer);

}  // namespace bulkhead::serve
