// SPDX-License-Identifier: MIT
// Routes that need no generation: what is served, how it is doing, tokens, vectors.
#include "engine/opaque_chat.h"
#include "serve/http_impl.h"

#include <bulkhead/version.h>

#include <fmt/format.h>

#include <utility>

namespace bulkhead::serve {
namespace {

std::string metric(std::string_view name, std::string_view kind, std::string_view help, std::uint64_t value) {
  return fmt::format("# HELP bulkhead_{0} {1}\n# TYPE bulkhead_{0} {2}\nbulkhead_{0} {3}\n", name, help, kind, value);
}

std::string metrics_text(Service& service) {
  const auto& counters = service.counters();
  const auto desk = service.desk_status();
  return metric("requests_total", "counter", "Requests for text.", counters.requests) +
         metric("requests_refused_total", "counter", "Answers with a status from 400 to 499.", counters.refused) +
         metric("requests_failed_total", "counter", "Answers with a status from 500 on.", counters.failed) +
         metric("requests_cancelled_total", "counter", "Generations that their client left.", counters.cancelled) +
         metric("requests_in_flight", "gauge", "Requests for text that wait or are computed.", counters.in_flight) +
         metric("prompt_tokens_total", "counter", "Tokens of prompts.", counters.prompt_tokens) +
         metric("prompt_tokens_cached_total", "counter", "Of these, in a cache already.", counters.cached_tokens) +
         metric("completion_tokens_total", "counter", "Tokens drawn for answers.", counters.completion_tokens) +
         metric("partitions", "gauge", "Open partitions, parked ones too.", desk.sequences) +
         metric("partitions_parked", "gauge", "Partitions whose cells are parked.", desk.parked) +
         metric("kv_bytes", "gauge", "Bytes that cells take in the cache.", desk.engine_kv_bytes) +
         metric("parked_bytes", "gauge", "Bytes that parked cells take.", desk.parked_bytes) +
         metric("jobs_running", "gauge", "Jobs in the running steps.", desk.running) +
         metric("jobs_waiting", "gauge", "Jobs that wait for their turn.", desk.waiting) +
         metric("steps_total", "counter", "Steps of the engine.", desk.steps);
}

// Strings, or one: what /v1/embeddings takes.
std::optional<std::vector<std::string>> texts_of(const Json& body) {
  constexpr std::size_t kMost = 2048;
  const auto input = body.find("input");
  if (input == body.end()) return std::nullopt;
  const auto list = input->is_array() ? *input : Json::array({*input});
  std::vector<std::string> texts;
  for (const auto& one : list) {
    if (!one.is_string()) return std::nullopt;
    texts.push_back(one.get<std::string>());
  }
  return texts.empty() || texts.size() > kMost ? std::nullopt : std::optional(std::move(texts));
}

Answer<Json> embeddings_of(const Embedder& embedder, const Json& body, const std::string& model) {
  for (const auto& [name, value] : body.items()) {
    const bool known = name == "input" || name == "model" || name == "user" ||
                       (name == "encoding_format" && value == "float") ||
                       (name == "dimensions" && value == embedder.dimensions());
    if (!known) return invalid_request(fmt::format("'{}' is not supported here, or not with this value", name), name);
  }
  const auto texts = texts_of(body);
  if (!texts) return invalid_request("'input' must be a text or a list of 1 to 2048 texts", "input");
  Json data = Json::array();
  std::uint64_t tokens = 0;
  for (const auto& text : *texts) {
    const auto embedding = embedder.embed(text);
    if (!embedding.ok()) return api_error_of(embedding.error());
    tokens += embedding.value().tokens;
    data.push_back({{"object", "embedding"}, {"index", data.size()}, {"embedding", embedding.value().values}});
  }
  return Json{{"object", "list"},
              {"data", std::move(data)},
              {"model", model},
              {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
}

}  // namespace

void HttpServer::Impl::add_plain_routes() {
  const auto model = [this] {
    const auto& facts = service.facts();
    return Json{
        {"id", options.model_name},   {"object", "model"},
        {"created", now()},           {"owned_by", "bulkhead"},
        {"aliases", options.aliases}, {"meta", {{"n_ctx", facts.context_tokens}, {"n_vocab", facts.vocabulary}}}};
  };
  for (const auto* path : {"/health", "/v1/health"}) {
    on_get(path, [](const Request&, Response& response) { send(response, Json{{"status", "ok"}}); });
  }
  on_get("/v1/models", [model](const Request&, Response& response) {
    send(response, Json{{"object", "list"}, {"data", Json::array({model()})}});
  });
  on_get("/v1/models/:id", [this, model](const Request& request, Response& response) {
    if (const auto unknown = check_model(request.path_params.at("id"))) return send(response, *unknown);
    send(response, model());
  });
  on_get("/metrics", [this](const Request&, Response& response) {
    response.set_content(metrics_text(service), "text/plain; version=0.0.4");
  });
  on_get("/props", [this](const Request&, Response& response) {
    const auto& facts = service.facts();
    send(response, Json{{"build_info", fmt::format("bulkhead {}", BULKHEAD_VERSION)},
                        {"model_alias", options.model_name},
                        {"engine", facts.engine},
                        {"n_ctx", facts.context_tokens},
                        {"grade", engine::name(facts.grade)},
                        {"isolation", engine::name(facts.isolation)},
                        {"batch_invariant", facts.batch_invariant},
                        {"kv_bytes_per_token", facts.kv_bytes_per_token},
                        {"chat_template", facts.chat_template}});
  });
  // As llama-server's, for tools that watch it: the asker's own partitions, and no text of them.
  on_get("/slots", [this](const Request& request, Response& response) {
    Json slots = Json::array();
    for (const auto& shown : service.partitions(*owner_of(request))) {
      Json slot = {{"id", shown.id},
                   {"n_ctx", service.facts().context_tokens},
                   {"n_tokens", shown.tokens},
                   {"is_processing", shown.busy}};
      slot.update(cells_json(shown.cells));
      slots.push_back(std::move(slot));
    }
    send(response, slots);
  });
  add_token_routes();
  add_embedding_route();
}

void HttpServer::Impl::add_token_routes() {
  on_post("/tokenize", [this](const Request& request, Response& response) {
    const auto body = body_of(request, response);
    if (!body) return;
    const auto content = body->find("content");
    if (content == body->end() || !content->is_string()) {
      return send(response, invalid_request("'content' must be a text", "content"));
    }
    const auto tokens = service.engine().tokenizer().tokenize(content->get<std::string>());
    if (!tokens.ok()) return send(response, api_error_of(tokens.error()));
    send(response, Json{{"tokens", tokens.value()}});
  });
  on_post("/detokenize", [this](const Request& request, Response& response) {
    const auto body = body_of(request, response);
    if (!body) return;
    const auto tokens = body->find("tokens");
    std::string text;
    bool right = tokens != body->end() && tokens->is_array();
    if (right) {
      for (const auto& token : *tokens) {
        right = right && token.is_number_unsigned() && token.get<std::uint64_t>() < service.facts().vocabulary;
        if (right) text += service.engine().tokenizer().piece(token.get<engine::Token>());
      }
    }
    if (!right) return send(response, invalid_request("'tokens' must be a list of token ids", "tokens"));
    send(response, Json{{"content", text}});
  });
  on_post("/apply-template", [this](const Request& request, Response& response) {
    const auto body = body_of(request, response);
    if (!body) return;
    auto read = read_chat_request(*body);
    if (!read.ok()) return send(response, read.error());
    const auto wanted = service.wanted(*owner_of(request), read.value());
    if (!wanted.ok()) return send(response, wanted.error());
    send(response, Json{{"prompt", wanted.value().rendered}});
  });
}

void HttpServer::Impl::add_embedding_route() {
  on_post("/v1/embeddings", [this](const Request& request, Response& response) {
    const auto body = body_of(request, response);
    if (!body) return;
    if (embedder == nullptr) {
      return send(response, invalid_request("no embedding model is served here (--embedding-model)", "model"));
    }
    const auto named = body->find("model");
    if (named != body->end() && !named->is_string()) {
      return send(response, invalid_request("'model' must be a string", "model"));
    }
    const auto answer = embeddings_of(*embedder, *body, named == body->end() ? "default" : named->get<std::string>());
    if (!answer.ok()) return send(response, answer.error());
    send(response, answer.value());
  });
}

}  // namespace bulkhead::serve
