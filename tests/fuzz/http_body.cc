// SPDX-License-Identifier: MIT
// The bodies that clients send `bulkhead serve`: chats, completions, messages, responses, histories, runs, and what is
// done with partitions. The first byte says which, from '0' on.
#include "fuzz/input.h"

#include "base/json.h"
#include "base/utf8.h"
#include "serve/generation_request.h"
#include "serve/partition_requests.h"
#include "serve/run_request.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>

namespace bulkhead::fuzz {
namespace {

using serve::GenerationRequest;

serve::Answer<GenerationRequest> read(std::uint8_t which, const Json& body) {
  switch (which) {
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

constexpr std::uint8_t kFirstOfPartitions = 6;
constexpr std::uint8_t kRun = 9;
constexpr std::uint8_t kReaders = 10;

template <typename Request>
void check_refusal(const serve::Answer<Request>& read) {
  require(read.error().status == 400 && !read.error().message.empty());
  require(to_json(read.error()).contains("error"));
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
  if (!request.cluster.empty()) {
    require(request.cluster.size() <= 256);
    require(std::ranges::any_of(request.messages, [](const auto& one) { return one.role == "user"; }));
  }
  std::size_t message = 0;
  for (const auto& output : request.outputs) {
    require(output.message >= message && output.message < request.messages.size() && !output.partition.empty());
    message = output.message;
    const auto& whole = request.messages[message];
    require(whole.role == "user" && output.at <= whole.content.size());
    require(!first_invalid_utf8(std::string_view(whole.content).substr(0, output.at)));
  }
}

void read_partition_request(std::uint8_t which, const Json& body) {
  if (which == kFirstOfPartitions) {
    const auto read = serve::read_declare_request(body);
    if (!read.ok()) return check_refusal(read);
    if (read.value().history) check(*read.value().history);
  } else if (which == kFirstOfPartitions + 1) {
    const auto read = serve::read_fork_request(body);
    if (!read.ok()) return check_refusal(read);
    require(!read.value().names.empty() && read.value().names.size() <= serve::kMostForks);
  } else {
    const auto read = serve::read_truncate_request(body);
    if (!read.ok()) return check_refusal(read);
    require(read.value().turns.has_value() != read.value().tokens.has_value());
  }
}

void read_run(const std::string& body) {
  const auto read = serve::read_run_request(body);
  if (!read.ok()) return check_refusal(read);
  const auto& request = read.value();
  require(request.scenario != nullptr && request.scenario->sha256.size() == 64);
  require(!request.settings.new_tokens || *request.settings.new_tokens > 0);
  const std::set<std::string> names(request.settings.conditions.begin(), request.settings.conditions.end());
  require(names.size() == request.settings.conditions.size());
  require(request.sampling.temperature >= 0 && request.sampling.temperature <= 100);
}

}  // namespace
}  // namespace bulkhead::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  if (size == 0) return 0;
  const auto which = static_cast<std::uint8_t>(static_cast<std::uint8_t>(data[0] - '0') % fuzz::kReaders);
  const std::string text(fuzz::text(data, size).substr(1));
  if (which == fuzz::kRun) {
    fuzz::read_run(text);
    return 0;
  }
  const auto body = parse_json(text, "body");
  if (!body.ok()) return 0;
  if (which >= fuzz::kFirstOfPartitions) {
    if (body->is_object()) fuzz::read_partition_request(which, body.value());
    return 0;
  }
  const auto request = fuzz::read(which, body.value());
  if (request.ok()) {
    fuzz::check(request.value());
  } else {
    fuzz::check_refusal(request);
  }
  return 0;
}
