// SPDX-License-Identifier: MIT
// /v1/partitions: declare, look at, fork, truncate and delete one's own.
#include "serve/http_impl.h"
#include "serve/partition_requests.h"

#include <utility>

namespace bulkhead::serve {
namespace {

Json shown_json(const Shown& shown) {
  Json json = {{"id", shown.id},
               {"object", "partition"},
               {"busy", shown.busy},
               {"waiting", shown.waiting},
               {"turns", shown.turns},
               {"tokens", shown.tokens},
               {"ledger",
                {{"prefilled_tokens", shown.prefilled_tokens},
                 {"reused_tokens", shown.reused_tokens},
                 {"generated_tokens", shown.generated_tokens},
                 {"messages_received", shown.messages_received},
                 {"token_sha256", shown.token_sha256}}}};
  for (const auto& [name, value] : {std::pair{"name", &shown.name},
                                    {"session", &shown.session},
                                    {"agent", &shown.agent},
                                    {"cluster", &shown.cluster},
                                    {"forked_from", &shown.forked_from}}) {
    json[name] = value->empty() ? Json(nullptr) : Json(*value);
  }
  json.update(cells_json(shown.cells));
  return json;
}

Json inspected_json(const Inspected& inspected) {
  auto json = shown_json(inspected.shown);
  json["messages"] = Json::array();
  for (const auto& message : inspected.messages) {
    Json one = {{"role", message.role}, {"content", message.content}};
    for (const auto& call : message.calls) one["tool_calls"].push_back(call_json(call));
    if (!message.call_id.empty()) one["tool_call_id"] = message.call_id;
    json["messages"].push_back(std::move(one));
  }
  json["received"] = Json::array();
  for (const auto& [from, turn, sha256, tokens] : inspected.received) {
    json["received"].push_back({{"from", from}, {"turn", turn}, {"sha256", sha256}, {"tokens", tokens}});
  }
  return json;
}

}  // namespace

Json cells_json(const desk::CellsAt& cells) {
  using Place = desk::CellsAt::Place;
  const bool parked = cells.place == Place::kParked;
  return {{"cells", parked                         ? "parked"
                    : cells.place == Place::kCache ? "cache"
                                                   : "none"},
          {"parked", parked},
          {"kv_bytes", parked ? 0 : cells.bytes},
          {"parked_bytes", parked ? cells.bytes : 0}};
}

// What came with the request may use the engine until its client has gone.
void HttpServer::Impl::declare(const Request& request, Response& response, const Json& body) {
  auto read = read_declare_request(body);
  if (!read.ok()) return send(response, read.error());
  auto& wanted = read.value();
  auto identity = identity_of(request, body);
  identity.partition = std::move(wanted.name);
  const Watch watch(request, stopping.get_token(), options.deadline);
  const auto made =
      service.declare(*owner_of(request), identity, wanted.history ? &*wanted.history : nullptr, watch.stop_token());
  if (!made.ok()) return send(response, made.error());
  send(response, inspected_json(made.value()), 201);
}

void HttpServer::Impl::fork(const Request& request, Response& response, const Json& body) {
  const auto read = read_fork_request(body);
  if (!read.ok()) return send(response, read.error());
  const Watch watch(request, stopping.get_token(), options.deadline);
  const auto made = service.fork(*owner_of(request), request.path_params.at("id"), read.value().names,
                                 read.value().turns, watch.stop_token());
  if (!made.ok()) return send(response, made.error());
  Json data = Json::array();
  for (const auto& one : made.value()) data.push_back(inspected_json(one));
  send(response, Json{{"object", "list"}, {"data", std::move(data)}}, 201);
}

void HttpServer::Impl::truncate(const Request& request, Response& response, const Json& body) {
  const auto read = read_truncate_request(body);
  if (!read.ok()) return send(response, read.error());
  const Watch watch(request, stopping.get_token(), options.deadline);
  const auto cut = service.truncate(*owner_of(request), request.path_params.at("id"), read.value(), watch.stop_token());
  if (!cut.ok()) return send(response, cut.error());
  send(response, inspected_json(cut.value()));
}

void HttpServer::Impl::add_partition_routes() {
  on_get("/v1/partitions", [this](const Request& request, Response& response) {
    Json data = Json::array();
    for (const auto& shown : service.partitions(*owner_of(request))) data.push_back(shown_json(shown));
    send(response, Json{{"object", "list"}, {"data", std::move(data)}});
  });
  on_get("/v1/partitions/:id", [this](const Request& request, Response& response) {
    const auto found = service.partition(*owner_of(request), request.path_params.at("id"));
    if (!found) {
      return send(response,
                  ApiError{.status = 404, .type = "not_found_error", .message = "there is no such partition"});
    }
    send(response, inspected_json(*found));
  });
  on_delete("/v1/partitions/:id", [this](const Request& request, Response& response) {
    const auto& id = request.path_params.at("id");
    const auto removed = service.conversations().remove(*owner_of(request), id);
    if (!removed.ok()) return send(response, partition_error_of(removed.error()));
    send(response, Json{{"id", id}, {"object", "partition"}, {"deleted", true}});
  });
  const auto post = [this](const std::string& path, void (Impl::*act)(const Request&, Response&, const Json&)) {
    on_post(path, [this, act](const Request& request, Response& response) {
      if (const auto body = body_of(request, response)) (this->*act)(request, response, *body);
    });
  };
  post("/v1/partitions", &Impl::declare);
  post("/v1/partitions/:id/fork", &Impl::fork);
  post("/v1/partitions/:id/truncate", &Impl::truncate);
}

}  // namespace bulkhead::serve
