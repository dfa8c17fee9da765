// SPDX-License-Identifier: MIT
// A server on a free port of loopback, over a tiny model of noise that knows chats, for the tests of the HTTP side.
#pragma once

#include "engines/builtin.h"
#include "engines/tiny_model.h"
#include "json_of.h"
#include "serve/http_server.h"
#include "serve/service.h"
#include "temporary_folder.h"

#include <cpp-httplib/httplib.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::testing {

class Served {
 public:
  // `file`: another model than the tiny one.
  explicit Served(serve::ServerOptions options = {}, serve::Limits limits = {}, std::uint32_t context = 1024,
                  const std::string& file = {}, const TinyModelOptions& tiny = {}) {
    ModelOptions model;
    model.path = file.empty() ? (folder_ / "tiny.gguf").string() : file;
    model.threads = file.empty() ? 1 : 2;
    model.context_tokens = context;
    if (file.empty() && !write_tiny_model(model.path, tiny)) std::abort();
    auto engine = engines::builtin_engines().make(model);
    if (!engine.ok()) std::abort();
    service_ = std::make_unique<serve::Service>(std::move(engine).value(), limits);
    options.port = 0;
    if (options.model_name.empty()) options.model_name = "tiny";
    certificate_ = options.tls_certificate;
    server_ = std::make_unique<serve::HttpServer>(*service_, nullptr, options);
    const auto bound = server_->bind();
    if (!bound.ok()) std::abort();
    port_ = bound.value();
    thread_ = std::jthread([this] { EXPECT_TRUE(server_->serve().ok()); });
    while (get("/health").status != 200) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ~Served() { stop(); }
  // The variable of the environment, or this.
  static std::string setting(const char* name, const std::string& otherwise) {
    const char* value = std::getenv(name);
    return value == nullptr ? otherwise : value;
  }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  void stop() {
    server_->stop();
    if (thread_.joinable()) thread_.join();
  }

  struct Reply {
    int status = 0;  // 0: there was none
    std::string body = {};
    httplib::Headers headers = {};
    [[nodiscard]] Json json() const { return json_of(body); }
  };

  [[nodiscard]] httplib::Client client() const {
    const auto* scheme = certificate_.empty() ? "http" : "https";
    httplib::Client made(scheme + ("://127.0.0.1:" + std::to_string(port_)));
    if (!certificate_.empty()) made.set_ca_cert_path(certificate_);
    made.set_read_timeout(std::chrono::seconds(600));
    return made;
  }
  [[nodiscard]] Reply get(const std::string& path, const httplib::Headers& headers = {}) const {
    return reply_of(client().Get(path, headers));
  }
  [[nodiscard]] Reply remove(const std::string& path, const httplib::Headers& headers = {}) const {
    return reply_of(client().Delete(path, headers));
  }
  [[nodiscard]] Reply post(const std::string& path, const std::string& body,
                           const httplib::Headers& headers = {}) const {
    return reply_of(client().Post(path, headers, body, "application/json"));
  }
  [[nodiscard]] Reply send(const std::string& method, const std::string& path, const std::string& body) const {
    httplib::Request request;
    request.method = method;
    request.path = path;
    request.body = body;
    request.headers = {{"Content-Type", "application/json"}};
    return reply_of(client().send(request));
  }
  [[nodiscard]] Reply chat(const Json& body, const httplib::Headers& headers = {}) const {
    return post("/v1/chat/completions", json_text(body), headers);
  }

  [[nodiscard]] serve::Service& service() const { return *service_; }
  [[nodiscard]] int port() const { return port_; }

 private:
  static Reply reply_of(const httplib::Result& result) {
    return result ? Reply{result->status, result->body, result->headers} : Reply{};
  }

  TemporaryFolder folder_;
  std::unique_ptr<serve::Service> service_;
  std::unique_ptr<serve::HttpServer> server_;
  int port_ = 0;
  std::string certificate_;  // with TLS
  std::jthread thread_;
};

// A greedy request for `tokens` tokens behind these turns: user, assistant, user, ...
inline Json chat_body(const std::vector<std::string>& turns, int tokens = 8) {
  Json messages = Json::array();
  for (std::size_t i = 0; i < turns.size(); ++i) {
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", turns[i]}});
  }
  return {{"messages", std::move(messages)}, {"max_tokens", tokens}, {"temperature", 0}};
}

inline std::string content_of(const Json& reply) {
  return reply["choices"][0]["message"]["content"].get<std::string>();
}

}  // namespace bulkhead::testing
