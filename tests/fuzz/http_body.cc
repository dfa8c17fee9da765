// SPDX-License-Identifier: MIT
// The bodies that clients send `bulkhead serve`: chats, completions, messages, responses and histories. The first byte
// says which.
#include "fuzz/input.h"

#include "base/json.h"
#include "base/utf8.h"
#include "serve/generation_request.h"

#include <algorithm>
#include <optional>
#include <string>

namespace bulkhead::fuzz {
namespace {

using serve::GenerationRequest;

serve::Answer<GenerationRequest> read(std::uint8_t which, const Json& body) {
  switch (which % 6) {
    case 0: return serve::read_chat_request(body);
    case 1: return serve::read_completion_request(body);
    case 2: return serve::read_messages_request(body);
    case 3: return serve::read_messages_request(body, true);
    case 5:
      return serve::read_responses_request(body, [](const std::string& id) -> std::optional<serve::Messages> {
        if (id.empty()) return std::nullopt;
        return serve::Messages{{"user", "a"}, {"assistant", id}};
      });
    default: return body.is_object() ? serve::read_history(body) : serve::invalid_request("no object");
  }
}

// What is accepted is within its bounds, and an output stands between two characters of a user's message.
void check(const GenerationRequest& request) {
  require(request.choices >= 1 && request.choices <= serve::kMostChoices);
  require(request.messages.size() <= serve::kMostMessages + 1);
  require(!request.max_tokens || *request.max_tokens > 0);
  require(std::ranges::none_of(request.options.stop, [](const auto& stop) { return stop.empty(); }));
  require(std::ranges::all_of(request.prompt_tokens, [](auto token) { return token >= 0; }));
  for (const auto& message : request.messages) {
    for (const auto& call : message.calls) {
      const auto arguments = parse_json(call.arguments);
      require(message.role == "assistant" && arguments.ok() && arguments->is_object());
    }
  }
  for (const auto& tool : request.tools.tools) require(!tool.name.empty() && tool.name.size() <= 64);
  require(request.tools.tools.empty() || request.options.grammar.empty());
  std::size_t message = 0;
  for (const auto& output : request.outputs) {
    require(output.message >= message && output.message < request.messages.size() && !output.partition.empty());
    message = output.message;
    const auto& whole = request.messages[message];
    require(whole.role == "user" && output.at <= whole.content.size());
    require(!first_invalid_utf8(std::string_view(whole.content).substr(0, output.at)));
  }
}

}  // namespace
}  // namespace bulkhead::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  if (size == 0) return 0;
  const auto body = parse_json(fuzz::text(data, size).substr(1), "body");
  if (!body.ok()) return 0;
  const auto request = fuzz::read(data[0], body.value());
  if (request.ok()) {
    fuzz::check(request.value());
    return 0;
  }
  fuzz::require(request.error().status == 400 && !request.error().message.empty());
  fuzz::require(to_json(request.error()).contains("error"));
  return 0;
}
