// SPDX-License-Identifier: MIT
// Messages and tools as OpenAI's chat completions, its responses and Anthropic's messages write them. What is wrong
// fails in the reader, with its place.
#pragma once

#include "engine/tokenizer.h"
#include "serve/body_reader.h"

#include <string>
#include <vector>

namespace bulkhead::serve {

inline constexpr std::size_t kMostMessages = 4096;

// What a request says of tools.
struct ToolUse {
  std::vector<engine::Tool> tools = {};
  bool must_call = false;
  std::string only = {};  // the one that may be called; empty: any
  bool several_calls = true;
};

using Messages = std::vector<engine::ChatMessage>;

// Members `messages` (and `system`), `input` (and `instructions`); `tools`, `tool_choice` and whether there may be
// several calls. tool_choice none: no tools.
// What they say of outputs goes into `outputs`. `cluster`: the one that is asked, where messages have labels: only its
// own are read (serve/clusters.h); null: labels are refused.
void read_openai_messages(BodyReader& reader, Messages& into, std::vector<OutputPart>& outputs,
                          std::string* cluster = nullptr);
void read_openai_tools(BodyReader& reader, ToolUse& into);
void read_anthropic_messages(BodyReader& reader, Messages& into, std::vector<OutputPart>& outputs);
void read_anthropic_tools(BodyReader& reader, ToolUse& into);
// `earlier`: the messages of the response that this one goes on with, instructions left out.
void read_responses_input(BodyReader& reader, const Messages& earlier, Messages& into);
void read_responses_tools(BodyReader& reader, ToolUse& into);

// As OpenAI's chats write a call.
[[nodiscard]] Json call_json(const engine::ToolCall& call);

}  // namespace bulkhead::serve
