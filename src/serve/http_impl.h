// SPDX-License-Identifier: MIT
// What the routes share. Only the files of the HTTP side include this one.
#pragma once

#include "serve/api_error.h"
#include "serve/form.h"
#include "serve/http_server.h"
#include "serve/response_store.h"
#include "serve/service.h"
#include "serve/watch.h"

#include <cpp-httplib/httplib.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::serve {

struct HttpServer::Impl {
  using Request = httplib::Request;
  using Response = httplib::Response;

  Impl(Service& its_service, const Embedder* its_embedder, ServerOptions its_options);

  // Who asks, by the key that the request carries. nullopt: it carries none of ours.
  [[nodiscard]] std::optional<std::string> owner_of(const Request& request) const;
  [[nodiscard]] std::int64_t now() const;
  [[nodiscard]] std::string new_id(std::string_view prefix);
  // nullopt: the model is the one that is served here.
  [[nodiscard]] std::optional<ApiError> check_model(const std::string& name) const;

  static void send(Response& response, const Json& body, int status = 200);
  // In the form of the route.
  void send(const Request& request, Response& response, const ApiError& error);
  void send(Response& response, const ApiError& error) { send(Request(), response, error); }
  // In the counters. `has_left`: the client, and nothing else was wrong.
  void count(const ApiError& error, bool has_left);
  // The body as an object; its error is sent.
  [[nodiscard]] std::optional<Json> body_of(const Request& request, Response& response);

  [[nodiscard]] bool admit(const Request& request, Response& response);
  void add_limits();
  // Routes are added by these, so that it is known what a path takes.
  void on_get(const std::string& path, httplib::Server::Handler handler);
  void on_post(const std::string& path, httplib::Server::Handler handler);
  void on_delete(const std::string& path, httplib::Server::Handler handler);
  // The methods that a path takes, as the header Allow says it; "": there is no such path.
  [[nodiscard]] std::string allowed(std::string_view path) const;
  void add_plain_routes();  // routes_plain.cpp, as the two behind it
  void add_token_routes();
  void add_embedding_route();
  void add_partition_routes();  // routes_partitions.cpp
  void add_text_routes();       // routes_text.cpp
  void add_response_routes();   // routes_responses.cpp
  void answer(const std::shared_ptr<const Form>& form, const Request& request, Response& response);
  void add_run_routes();   // routes_runs.cpp
  void add_page_routes();  // routes_page.cpp
  // Of the page: files that say nothing of anybody, so no key is asked for them.
  [[nodiscard]] static bool is_page(std::string_view path);
  void count_tokens(const Request& request, Response& response);
  void run_scenario(const Request& request, Response& response);
  void send_stream(const Request& request, Response& response, std::function<void(EventSink&, Watch&)> write);
  // Of routes_partitions.cpp; `body` is an object.
  void declare(const Request& request, Response& response, const Json& body);
  void fork(const Request& request, Response& response, const Json& body);
  void truncate(const Request& request, Response& response, const Json& body);

  Service& service;
  const Embedder* embedder;
  ServerOptions options;
  std::vector<std::string> key_hashes;        // of the API keys
  std::unique_ptr<httplib::Server> listener;  // with TLS, or without
  httplib::Server& http;
  std::string socket_path;                                  // of a Unix socket that was taken
  std::vector<std::pair<std::string, std::string>> routes;  // pattern and method
  std::stop_source stopping;
  std::atomic<std::uint64_t> ids = 0;
  ResponseStore responses;
  std::string boot;  // tells the ids of one start from those of another
};

// Where the cells of a partition are: members of what is shown of it.
[[nodiscard]] Json cells_json(const desk::CellsAt& cells);

// What a request says of who is speaking.
[[nodiscard]] Identity identity_of(const httplib::Request& request, const Json& body);

}  // namespace bulkhead::serve
