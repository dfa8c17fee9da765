// SPDX-License-Identifier: MIT
// A real HTTP/1.1 server on loopback that can misbehave byte by byte: each answer is what the handler writes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::testing {

struct Request {
  std::string path;
  std::map<std::string, std::string> headers;  // lower-case names

  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

class RawHttpServer;

// One accepted connection: it is closed when the handler returns.
class Connection {
 public:
  Connection(int socket, const std::atomic<bool>& ending) : socket_(socket), ending_(ending) {}

  // False when the client has gone.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  bool respond(std::string_view status, std::string_view headers, std::string_view body) {
    std::string head = "HTTP/1.1 " + std::string(status) + "\r\nConnection: close\r\n" + std::string(headers);
    return send(head + "\r\n") && send(body);
  }

  // Says nothing for `time`, or until the server is taken down.
  void be_silent(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!ending_.load() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  // Closes with a reset instead of an orderly end.
  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }

 private:
  int socket_;
  const std::atomic<bool>& ending_;
};

class RawHttpServer {
 public:
  using Handler = std::function<void(const Request&, Connection&)>;

  explicit RawHttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener_, 32) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }

  RawHttpServer(const RawHttpServer&) = delete;
  RawHttpServer& operator=(const RawHttpServer&) = delete;

  ~RawHttpServer() {
    ending_ = true;
    acceptor_.join();
    for (auto& worker : workers_) worker.join();
    ::close(listener_);
  }

  [[nodiscard]] std::string url(const std::string& path = "", const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(port_) + path;
  }

  // All requests so far, in the order they came.
  [[nodiscard]] std::vector<Request> requests() const {
    const std::lock_guard guard(mutex_);
    return requests_;
  }

 private:
  void accept_all() {
    while (!ending_) {
      pollfd waiting{listener_, POLLIN, 0};
      if (::poll(&waiting, 1, 20) <= 0) continue;
      const int socket = ::accept(listener_, nullptr, nullptr);
      if (socket >= 0) workers_.emplace_back([this, socket] { serve(socket); });
    }
  }

  void serve(int socket) {
    const timeval patience{5, 0};
    ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    Request request;
    if (read_request(socket, request)) {
      {
        const std::lock_guard guard(mutex_);
        requests_.push_back(request);
      }
      Connection connection(socket, ending_);
      handler_(request, connection);
    }
    ::close(socket);
  }

  static bool read_request(int socket, Request& request) {
    std::string text;
    std::array<char, 2048> buffer{};
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
      if (got <= 0) return false;
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    const auto path_start = text.find(' ') + 1;
    request.path = text.substr(path_start, text.find(' ', path_start) - path_start);
    for (auto at = text.find("\r\n") + 2; text.compare(at, 2, "\r\n") != 0;) {
      const auto end = text.find("\r\n", at);
      const auto colon = text.find(':', at);
      std::string key = text.substr(at, colon - at);
      std::transform(key.begin(), key.end(), key.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request.headers[key] = text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return true;
  }

  Handler handler_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> ending_{false};
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::thread acceptor_;
  std::vector<std::thread> workers_;
};

// Serves `bytes` as a good server does: ETag, Range and If-Range honoured.
inline void serve_well(const Request& request, Connection& connection, std::string_view bytes, const std::string& etag,
                       const std::string& more_headers = "") {
  const std::string range = request.header("range");
  const std::string common = "ETag: " + etag + "\r\n" + more_headers;
  const bool same = request.header("if-range").empty() || request.header("if-range") == etag;
  if (range.empty() || !same) {
    connection.respond("200 OK", common + "Content-Length: " + std::to_string(bytes.size()) + "\r\n", bytes);
    return;
  }
  const std::size_t start = std::stoull(range.substr(range.find('=') + 1));
  if (start >= bytes.size()) {
    connection.respond("416 Range Not Satisfiable",
                       "Content-Range: bytes */" + std::to_string(bytes.size()) + "\r\nContent-Length: 0\r\n", "");
    return;
  }
  const auto rest = bytes.substr(start);
  connection.respond("206 Partial Content",
                     common + "Content-Length: " + std::to_string(rest.size()) + "\r\nContent-Range: bytes " +
                         std::to_string(start) + "-" + std::to_string(bytes.size() - 1) + "/" +
                         std::to_string(bytes.size()) + "\r\n",
                     rest);
}

}  // namespace bulkhead::testing
