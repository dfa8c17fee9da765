// SPDX-License-Identifier: MIT
// Whatever a server answers: status, headers and body go over a socket of this machine, and come to who asks for an
// answer, for the files of a repository, and for a download. The first byte says who.
#include "fuzz/input.h"

#include "models/hub.h"
#include "net/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <mutex>
#include <thread>

namespace bulkhead::fuzz {
namespace {

// Gives each connection the same bytes, and closes it.
class Server {
 public:
  Server() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    require(::bind(listener_, any, length) == 0 && ::listen(listener_, 16) == 0);
    require(::getsockname(listener_, any, &length) == 0);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    std::thread([this] { serve(); }).detach();
  }

  [[nodiscard]] const std::string& url() const { return url_; }
  void say(std::string_view answer) {
    const std::lock_guard lock(mutex_);
    answer_ = answer;
  }

 private:
  void serve() {
    for (;;) {
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) continue;
      std::array<char, 4096> request{};
      static_cast<void>(::recv(connection, request.data(), request.size(), 0));
      {
        const std::lock_guard lock(mutex_);
        static_cast<void>(::send(connection, answer_.data(), answer_.size(), MSG_NOSIGNAL));
      }
      ::shutdown(connection, SHUT_WR);
      ::close(connection);
    }
  }

  int listener_;
  std::string url_;
  std::mutex mutex_;
  std::string answer_;
};

net::HttpOptions impatient() {
  net::HttpOptions options;
  options.connect_timeout = std::chrono::seconds(2);
  options.stall_time = std::chrono::seconds(1);
  options.max_redirects = 2;
  return options;
}

void ask_the_hub(const Server& server) {
  models::Environment environment;
  environment.hub_endpoint = server.url();
  environment.http = impatient();
  const auto listing = models::list_hub("user/repo", environment, {});
  if (!listing.ok()) return;
  for (const auto& file : listing->files) {
    const auto name = models::local_name(file.source);
    require(name.find('/') == std::string::npos && name != ".." && !name.empty());
    require(file.sha256.empty() || file.sha256.size() == 64);
  }
  static_cast<void>(models::pick_from(listing.value(), {.repo = "user/repo", .wanted = {}}));
}

void download(const Server& server) {
  const auto folder = std::filesystem::path("/dev/shm/bulkhead-fuzz-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  net::DownloadOptions options;
  static_cast<net::HttpOptions&>(options) = impatient();
  options.expected_bytes = 10;
  const auto done = net::download(server.url() + "/file", folder / "file", options);
  if (done.ok()) require(std::filesystem::file_size(folder / "file") == 10);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace bulkhead::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  static auto* const server = new fuzz::Server;  // its thread ends with the process
  if (size == 0) return 0;
  server->say(fuzz::text(data, size).substr(1));
  constexpr std::uint64_t kMostBytes = 4096;
  switch (data[0] % 3) {
    case 0: {
      const auto answer = net::get(server->url(), kMostBytes, fuzz::impatient());
      if (answer.ok()) fuzz::require(answer->body.size() <= kMostBytes);
      break;
    }
    case 1: fuzz::ask_the_hub(*server); break;
    default: fuzz::download(*server); break;
  }
  return 0;
}
