// SPDX-License-Identifier: MIT
// The body of a request for text, checked: chat completions, completions, responses, messages. A parameter that changes
// the answer is honoured or refused by name; labels and hints are accepted, and listed in the reply.
#pragma once

#include "base/json.h"
#include "engine/engine.h"
#include "serve/api_error.h"
#include "serve/chat_fields.h"

#include <bulkhead/options.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::serve {

struct GenerationRequest {
  std::string model = {};
  std::vector<engine::ChatMessage> messages = {};  // of a chat
  std::vector<OutputPart> outputs = {};            // among what those say, in order
  std::string cluster = {};                        // that it asks, of a conversation with labels; else none
  std::string prompt = {};                         // of a completion, unless it comes as tokens
  std::vector<engine::Token> prompt_tokens = {};
  GenerateOptions options = {};
  std::optional<std::uint32_t> max_tokens = {};  // none: as many as fit
  std::uint32_t choices = 1;
  bool stream = false;
  bool stream_usage = false;
  bool logits_hash = false;
  bool echo = false;              // the prompt in front of a completion's text
  bool asks_for_caching = false;  // of Anthropic's form: something in it says cache_control
  ToolUse tools = {};
  std::shared_ptr<const engine::AnswerReader> reader = {};  // of the answer, where it may hold calls
  bool store = false;                                       // of a response: whether it may be gone on with
  Json echoed = {};                                         // of a response: what it says again of the request
  std::vector<std::string> labels = {};                     // members that were accepted and change nothing
};

inline constexpr std::uint32_t kMostChoices = 16;

[[nodiscard]] Answer<GenerationRequest> read_chat_request(const Json& body);
[[nodiscard]] Answer<GenerationRequest> read_completion_request(const Json& body);
// OpenAI's responses. `earlier`: all messages of a response by its id, its answer the last; nullopt: there is none.
using FindMessages = std::function<std::optional<std::vector<engine::ChatMessage>>(const std::string& id)>;
[[nodiscard]] Answer<GenerationRequest> read_responses_request(const Json& body, const FindMessages& earlier);
// Anthropic's messages. `counts_only`: /v1/messages/count_tokens, which asks for no tokens.
[[nodiscard]] Answer<GenerationRequest> read_messages_request(const Json& body, bool counts_only = false);
// A chat as it is, which may end with an answer: `messages` of POST /v1/partitions.
[[nodiscard]] Answer<GenerationRequest> read_history(const Json& body);

}  // namespace bulkhead::serve
