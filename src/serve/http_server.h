// SPDX-License-Identifier: MIT
// The HTTP side of `bulkhead serve`: routes, keys, limits and streams, on cpp-httplib. docs/serving.md is its manual.
#pragma once

#include "base/result.h"
#include "serve/service.h"

#include <bulkhead/embedder.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";          // an address, or a path that ends in ".sock"
  int port = 8080;                         // 0: any free one
  std::string tls_certificate = {};        // files in PEM: the server's certificate, and those that vouch for it
  std::string tls_key = {};                // and its key; both or none: plain HTTP
  std::vector<std::string> api_keys = {};  // none: one owner, and everybody is it
  std::string model_name = {};             // as clients are told; also taken: "default"
  std::vector<std::string> aliases = {};   // further names of it
  std::uint32_t most_requests = 256;       // for text, waiting or computed: more get 429
  std::uint64_t owner_bytes = 0;           // of cells that one owner may have in the cache; 0: no limit
  std::uint64_t body_bytes = std::uint64_t{8} << 20U;
  std::chrono::seconds timeout{600};  // of a client that neither reads nor writes
  std::chrono::seconds ping{30};      // a stream that is quiet for so long gets a comment
  std::chrono::seconds deadline{0};   // of an answer: it ends as it is then; 0: none
  bool log_requests = false;          // a JSON line each on stderr: no texts, no keys
};

// Whether the files of TLS are there, can be used and belong together. kUsage: one of them is named without the other,
// or beside a Unix socket; kBadInput: what is wrong with one.
[[nodiscard]] Result<void> check_tls(const ServerOptions& options);

class HttpServer {
 public:
  // `embedder` answers /v1/embeddings; null: that route is refused. All must outlive the server.
  HttpServer(Service& service, const Embedder* embedder, ServerOptions options);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  // Takes the address; kResource when somebody else has it, kBadInput when its path or the files of TLS cannot be used.
  // A Unix socket that nobody listens at any more is taken over. Gives the port.
  [[nodiscard]] Result<int> bind();
  // Answers until stop(). Any thread may call stop(), which cancels what is computed and lets answers end.
  [[nodiscard]] Result<void> serve();
  void stop();

 private:
  struct Impl;  // keeps httplib out of this header
  std::unique_ptr<Impl> impl_;
};

}  // namespace bulkhead::serve
