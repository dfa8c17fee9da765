// SPDX-License-Identifier: MIT
// The body of a request for text, checked: chat completions, completions, messages. A parameter that changes the
// answer is honoured or refused by name; labels and hints are accepted, and listed in the reply.
#pragma once

#include "base/json.h"
#include "engine/engine.h"
#include "serve/api_error.h"

#include <bulkhead/options.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::serve {

// A content part of type "output": there comes the text of a finished answer of another partition.
struct OutputPart {
  std::size_t message = 0;                 // of the chat
  std::size_t at = 0;                      // in its content, behind so many bytes of the client's own
  std::string partition = {};              // name or id
  std::optional<std::uint64_t> turn = {};  // none: the last answer
};

struct GenerationRequest {
  std::string model = {};
  std::vector<engine::ChatMessage> messages = {};  // of a chat
  std::vector<OutputPart> outputs = {};            // among what those say, in order
  std::string prompt = {};                         // of a completion, unless it comes as tokens
  std::vector<engine::Token> prompt_tokens = {};
  GenerateOptions options = {};
  std::optional<std::uint32_t> max_tokens = {};  // none: as many as fit
  std::uint32_t choices = 1;
  bool stream = false;
  bool stream_usage = false;
  bool logits_hash = false;
  bool echo = false;                     // the prompt in front of a completion's text
  std::vector<std::string> labels = {};  // members that were accepted and change nothing
};

inline constexpr std::uint32_t kMostChoices = 16;
inline constexpr std::size_t kMostMessages = 4096;

[[nodiscard]] Answer<GenerationRequest> read_chat_request(const Json& body);
[[nodiscard]] Answer<GenerationRequest> read_completion_request(const Json& body);
// Anthropic's messages. `counts_only`: /v1/messages/count_tokens, which asks for no tokens.
[[nodiscard]] Answer<GenerationRequest> read_messages_request(const Json& body, bool counts_only = false);
// A chat as it is, which may end with an answer: `messages` of POST /v1/partitions.
[[nodiscard]] Answer<GenerationRequest> read_history(const Json& body);

}  // namespace bulkhead::serve
