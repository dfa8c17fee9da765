// SPDX-License-Identifier: MIT
#include "vllm_server.h"

#include "base/json.h"

#include <cpp-httplib/httplib.h>
#include <fmt/format.h>

#include <charconv>
#include <filesystem>

namespace bulkhead::bench {
namespace {

constexpr std::string_view kLocal = "http://127.0.0.1:";

Error failure(std::string_view path, const httplib::Result& answer) {
  if (!answer) return {ErrorCode::kRemote, fmt::format("no answer to {}", path), "vllm", {}};
  return {ErrorCode::kRemote, fmt::format("HTTP {} to {}: {}", answer->status, path, answer->body), "vllm", {}};
}

Result<int> port_of(std::string_view url) {
  const auto digits = url.substr(kLocal.size());
  int port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool whole = end == digits.data() + digits.size() || std::string_view(end, 1) == "/";
  if (error == std::errc() && whole && port > 0 && port < 65536) return port;
  return Error{ErrorCode::kUsage, fmt::format("{} is not {}PORT", url, kLocal), "--vllm", {}};
}

Result<std::uint32_t> count(const JsonView& view, std::string_view key) {
  BH_TRY(const auto field, view.at(key));
  BH_TRY(const auto value, field.integer(0, 1 << 30));
  return static_cast<std::uint32_t>(value);
}

}  // namespace

Result<VllmServer> VllmServer::open(const std::string& where, const std::string& script, std::uint32_t threads) {
  if (where.starts_with("http")) {
    if (!where.starts_with(kLocal)) return Error{ErrorCode::kUsage, "only a server on loopback counts", where, {}};
    BH_TRY(const int port, port_of(where));
    VllmServer server(nullptr, port);
    BH_CHECK(server.ask_its_facts());
    return server;
  }
  if (!std::filesystem::is_regular_file(std::filesystem::path(where) / "config.json")) {
    return Error{ErrorCode::kUsage, "no checkpoint folder and no URL", where, "make one with scripts/vllm.sh convert"};
  }
  const int port = free_port();
  // The script becomes the server, so that ending this process ends it.
  std::vector<std::string> argv = {
      "/usr/bin/env", fmt::format("OMP_NUM_THREADS={}", threads), script, "serve", where, std::to_string(port)};
  BH_TRY(auto process, ChildServer::start(std::move(argv), port, std::chrono::minutes(10)));
  VllmServer server(std::move(process), port);
  BH_CHECK(server.ask_its_facts());
  return server;
}

Result<void> VllmServer::ask_its_facts() {
  httplib::Client client("127.0.0.1", port_);
  const auto models = client.Get("/v1/models");
  if (!models || models->status != 200) return failure("/v1/models", models);
  BH_TRY(const auto list, JsonDocument::parse(models->body, "vllm: /v1/models"));
  BH_TRY(const auto data, JsonView(list).at("data"));
  BH_TRY(const auto entries, data.items());
  if (entries.empty()) return data.fail("it serves no model");
  BH_TRY(const auto id, entries[0].at("id"));
  BH_TRY(model_, id.string());
  const auto version = client.Get("/version");
  if (!version || version->status != 200) return failure("/version", version);
  BH_TRY(const auto document, JsonDocument::parse(version->body, "vllm: /version"));
  BH_TRY(version_, JsonView(document).string_or("version", "unknown"));
  return {};
}

Result<Completion> VllmServer::complete(const std::vector<std::int32_t>& prompt, std::uint32_t new_tokens,
                                        std::string_view salt) const {
  // No seed: vLLM 0.32 on the CPU dies of a seeded request whose prefill is cut into chunks ("CPU Generator does not
  // use offset"). Without one its engine's own seed counts.
  const Json request = {{"model", model_},
                        {"prompt", prompt},
                        {"max_tokens", new_tokens},
                        {"min_tokens", new_tokens},
                        {"ignore_eos", true},
                        {"temperature", 0.7},
                        {"top_k", 0},
                        {"top_p", 1.0},
                        {"min_p", 0.0},
                        {"repetition_penalty", 1.0},
                        {"cache_salt", salt}};
  httplib::Client client("127.0.0.1", port_);
  client.set_read_timeout(600);
  const auto answer = client.Post("/v1/completions", json_text(request), "application/json");
  if (!answer || answer->status != 200) return failure("/v1/completions", answer);
  BH_TRY(const auto document, JsonDocument::parse(answer->body, "vllm"));
  const JsonView body(document);
  BH_TRY(const auto usage, body.at("usage"));
  Completion completion;
  BH_TRY(const auto prompt_tokens, count(usage, "prompt_tokens"));
  BH_TRY(completion.predicted_tokens, count(usage, "completion_tokens"));
  if (usage.has("prompt_tokens_details")) {  // only with --enable-prompt-tokens-details
    BH_TRY(const auto details, usage.at("prompt_tokens_details"));
    if (details.has("cached_tokens")) {
      BH_TRY(completion.cached_tokens, count(details, "cached_tokens"));
    }
  }
  completion.prompt_tokens = prompt_tokens - completion.cached_tokens;
  BH_TRY(const auto choices, body.at("choices"));
  BH_TRY(const auto choice, choices.items());
  if (choice.empty()) return choices.fail("it gave no text");
  BH_TRY(const auto text, choice[0].at("text"));
  BH_TRY(completion.text, text.string());
  return completion;
}

}  // namespace bulkhead::bench
