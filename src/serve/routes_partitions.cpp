// SPDX-License-Identifier: MIT
// /v1/partitions: declare, look at, fork, truncate and delete one's own.
#include "serve/http_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace bulkhead::serve {
namespace {

constexpr std::uint64_t kMostForks = 64;
constexpr std::uint64_t kMostOfAnything = std::uint64_t{1} << 40U;

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

std::optional<ApiError> refuse_others(const Json& body, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : body.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return invalid_request(fmt::format("'{}' is not supported here", name), name);
    }
  }
  return std::nullopt;
}

// A whole number from `low` on; nullopt: it is not there.
Answer<std::optional<std::uint64_t>> count_of(const Json& body, const std::string& name, std::uint64_t low,
                                              std::uint64_t high = kMostOfAnything) {
  const auto found = body.find(name);
  if (found == body.end() || found->is_null()) return std::optional<std::uint64_t>();
  if (found->is_number_unsigned()) {
    const auto number = found->get<std::uint64_t>();
    if (number >= low && number <= high) return std::optional(number);
  }
  return invalid_request(fmt::format("'{}' must be a whole number from {} to {}", name, low, high), name);
}

// {"names": [...]} or {"n": NUMBER}: a name for each, "" for none.
Answer<std::vector<std::string>> names_of(const Json& body) {
  const auto number = count_of(body, "n", 1, kMostForks);
  if (!number.ok()) return number.error();
  const auto list = body.find("names");
  const bool is_listed = list != body.end() && !list->is_null();
  if (is_listed == number.value().has_value()) return invalid_request("give 'names' or 'n'", "names");
  if (!is_listed) return std::vector<std::string>(*number.value());
  const auto is_name = [](const Json& one) { return one.is_string() && !one.get_ref<const std::string&>().empty(); };
  if (!list->is_array() || list->empty() || list->size() > kMostForks ||
      !std::all_of(list->begin(), list->end(), is_name)) {
    return invalid_request(fmt::format("'names' must be a list of 1 to {} names", kMostForks), "names");
  }
  return list->get<std::vector<std::string>>();
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
  if (const auto other = refuse_others(body, {"name", "messages"})) return send(response, *other);
  const auto name = body.find("name");
  if (name == body.end() || !name->is_string()) {
    return send(response, invalid_request("'name' must be a text", "name"));
  }
  auto identity = identity_of(request, body);
  identity.partition = name->get<std::string>();
  std::optional<GenerationRequest> history;
  if (const auto messages = body.find("messages"); messages != body.end() && !messages->is_null()) {
    auto read = read_history(Json{{"messages", *messages}});
    if (!read.ok()) return send(response, read.error());
    history = std::move(read.value());
  }
  const Watch watch(request, stopping.get_token(), options.deadline);
  const auto made = service.declare(*owner_of(request), identity, history ? &*history : nullptr, watch.stop_token());
  if (!made.ok()) return send(response, made.error());
  send(response, inspected_json(made.value()), 201);
}

void HttpServer::Impl::fork(const Request& request, Response& response, const Json& body) {
  if (const auto other = refuse_others(body, {"names", "n", "turns"})) return send(response, *other);
  const auto names = names_of(body);
  if (!names.ok()) return send(response, names.error());
  const auto turns = count_of(body, "turns", 0);
  if (!turns.ok()) return send(response, turns.error());
  const Watch watch(request, stopping.get_token(), options.deadline);
  const auto made =
      service.fork(*owner_of(request), request.path_params.at("id"), names.value(), turns.value(), watch.stop_token());
  if (!made.ok()) return send(response, made.error());
  Json data = Json::array();
  for (const auto& one : made.value()) data.push_back(inspected_json(one));
  send(response, Json{{"object", "list"}, {"data", std::move(data)}}, 201);
}

void HttpServer::Impl::truncate(const Request& request, Response& response, const Json& body) {
  if (const auto other = refuse_others(body, {"turns", "tokens"})) return send(response, *other);
  const auto turns = count_of(body, "turns", 0);
  if (!turns.ok()) return send(response, turns.error());
  const auto tokens = count_of(body, "tokens", 0);
  if (!tokens.ok()) return send(response, tokens.error());
  if (turns.value().has_value() == tokens.value().has_value()) {
    return send(response, invalid_request("give 'turns' or 'tokens'", "turns"));
  }
  const Watch watch(request, stopping.get_token(), options.deadline);
  const auto cut = service.truncate(*owner_of(request), request.path_params.at("id"),
                                    {.turns = turns.value(), .tokens = tokens.value()}, watch.stop_token());
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
