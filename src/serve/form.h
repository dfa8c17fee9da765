// SPDX-License-Identifier: MIT
// The forms in which a generation is asked for and answered: OpenAI's chat completions and completions, Anthropic's
// messages. What lies between the question and the answer is the same for all.
#pragma once

#include "base/json.h"
#include "engine/engine.h"
#include "serve/generation_request.h"
#include "serve/service.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace bulkhead::serve {

// What all parts of one answer share.
struct ReplyHead {
  std::string id = {};
  std::string model = {};
  std::int64_t created = 0;  // seconds since 1970
};

class Form {
 public:
  Form() = default;
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;
  virtual ~Form() = default;

  [[nodiscard]] virtual std::string_view id_prefix() const = 0;
  [[nodiscard]] virtual Answer<GenerationRequest> read(const Json& body) const = 0;
  [[nodiscard]] virtual Json error(const ApiError& error) const = 0;
  [[nodiscard]] virtual Json whole(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                                   const engine::Tokenizer& tokenizer) const = 0;

  // A stream as server-sent events: what comes first, what comes for new text of a choice (`event`: the token that it
  // came with; null: none, it is what stop strings held back), and what comes last. Each may be empty.
  [[nodiscard]] virtual std::string first_events(const ReplyHead& head, const GenerationRequest& request,
                                                 std::uint64_t prompt_tokens, const Reuse& reuse) const = 0;
  [[nodiscard]] virtual std::string text_events(const ReplyHead& head, std::uint32_t choice, const std::string& text,
                                                const TokenEvent* event, const engine::Tokenizer& tokenizer) const = 0;
  [[nodiscard]] virtual std::string last_events(const ReplyHead& head, const GenerationRequest& request,
                                                const Generated& generated,
                                                const engine::Tokenizer& tokenizer) const = 0;
  [[nodiscard]] virtual std::string error_events(const ApiError& failure) const = 0;
};

// They live for ever.
[[nodiscard]] const Form& chat_form();
[[nodiscard]] const Form& completion_form();
[[nodiscard]] const Form& messages_form();

// What Bulkhead has to say beside every form: partition, reuse, hashes, labels.
[[nodiscard]] Json own_json(const GenerationRequest& request, const Generated& generated);

}  // namespace bulkhead::serve
