// SPDX-License-Identifier: MIT
// Answers in OpenAI's form: whole, and as chunks of a stream.
#pragma once

#include "base/json.h"
#include "engine/engine.h"
#include "serve/generation_request.h"
#include "serve/service.h"

#include <cstdint>
#include <string>

namespace bulkhead::serve {

// What all parts of one answer share.
struct ReplyHead {
  bool chat = true;  // else a completion
  std::string id = {};
  std::string model = {};
  std::int64_t created = 0;  // seconds since 1970
};

[[nodiscard]] Json whole_reply(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                               const engine::Tokenizer& tokenizer);

// The first chunk of a choice of a chat, which names the role.
[[nodiscard]] Json first_chunk(const ReplyHead& head, std::uint32_t choice);
[[nodiscard]] Json text_chunk(const ReplyHead& head, std::uint32_t choice, const std::string& text,
                              const TokenEvent* event, const engine::Tokenizer& tokenizer);
// The last chunk of a choice; that of the last choice holds what Bulkhead has to say, too.
[[nodiscard]] Json last_chunk(const ReplyHead& head, const GenerationRequest& request, const Generated& generated,
                              std::size_t choice);
// Behind the last chunk, where the request asks for counts. It has no choices, which only such clients expect.
[[nodiscard]] Json usage_chunk(const ReplyHead& head, const Generated& generated);

}  // namespace bulkhead::serve
