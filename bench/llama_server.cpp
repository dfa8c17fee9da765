// SPDX-License-Identifier: MIT
#include "llama_server.h"

#include "base/json.h"

#include <cpp-httplib/httplib.h>
#include <fmt/format.h>

namespace bulkhead::bench {

Result<LlamaServer> LlamaServer::start(const std::string& program, std::vector<std::string> arguments) {
  const int port = free_port();
  arguments.insert(arguments.begin(), program);
  arguments.insert(arguments.end(), {"--host", "127.0.0.1", "--port", std::to_string(port)});
  BH_TRY(auto process, ChildServer::start(std::move(arguments), port, std::chrono::minutes(2)));
  return LlamaServer(std::move(process), port);
}

Result<Completion> LlamaServer::complete(const std::vector<std::int32_t>& prompt, std::uint32_t new_tokens,
                                         bool cache_prompt, std::uint32_t seed) const {
  const Json request = {{"prompt", prompt},   {"n_predict", new_tokens},
                        {"ignore_eos", true}, {"temperature", 0.7},
                        {"top_k", 0},         {"top_p", 1.0},
                        {"min_p", 0.0},       {"repeat_penalty", 1.0},
                        {"seed", seed},       {"cache_prompt", cache_prompt}};
  httplib::Client client("127.0.0.1", port_);
  client.set_read_timeout(600);
  const auto answer = client.Post("/completion", json_text(request), "application/json");
  if (!answer) return Error{ErrorCode::kRemote, "no answer to /completion", "llama-server", {}};
  if (answer->status != 200)
    return Error{ErrorCode::kRemote, fmt::format("HTTP {}: {}", answer->status, answer->body), "llama-server", {}};
  BH_TRY(const auto document, JsonDocument::parse(answer->body, "llama-server"));
  const auto& body = document.root();
  const auto& timings = body["timings"];
  return Completion{.text = body["content"],
                    .prompt_tokens = timings["prompt_n"],
                    .cached_tokens = timings.value("cache_n", 0U),
                    .predicted_tokens = timings["predicted_n"]};
}

}  // namespace bulkhead::bench
