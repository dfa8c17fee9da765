// SPDX-License-Identifier: MIT
#include "child_server.h"

#include <cpp-httplib/httplib.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

extern char** environ;

namespace bulkhead::bench {
namespace {

// The child's process id, or 0.
pid_t spawn(std::vector<std::string>& argv) {
  std::vector<char*> pointers;
  for (auto& argument : argv) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, argv[0].c_str(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return failed == 0 ? pid : 0;
}

}  // namespace

int free_port() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  int port = 0;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  close(listener);
  return port;
}

Result<std::unique_ptr<ChildServer>> ChildServer::start(std::vector<std::string> argv, int port,
                                                        std::chrono::seconds patience) {
  const pid_t pid = spawn(argv);
  if (pid == 0) return Error{ErrorCode::kUsage, "it cannot be started", argv[0], {}};
  std::unique_ptr<ChildServer> server(new ChildServer(pid));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < deadline) {
    httplib::Client client("127.0.0.1", port);
    if (const auto answer = client.Get("/health"); answer && answer->status == 200) return server;
    if (int status = 0; waitpid(pid, &status, WNOHANG) == pid) {
      server->pid_ = 0;
      return Error{ErrorCode::kRemote, "it ended before it was healthy", argv[0], "run it by hand to see why"};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return Error{ErrorCode::kRemote, fmt::format("not healthy after {} s", patience.count()), argv[0], {}};
}

ChildServer::~ChildServer() {
  if (pid_ == 0) return;
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

}  // namespace bulkhead::bench
