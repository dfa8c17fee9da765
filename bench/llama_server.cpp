// SPDX-License-Identifier: MIT
#include "llama_server.h"

#include "base/json.h"

#include <cpp-httplib/httplib.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

extern char** environ;

namespace bulkhead::bench {
namespace {

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

}  // namespace

Result<std::unique_ptr<LlamaServer>> LlamaServer::start(const std::string& program,
                                                        std::vector<std::string> arguments) {
  const int port = free_port();
  arguments.insert(arguments.begin(), program);
  arguments.insert(arguments.end(), {"--host", "127.0.0.1", "--port", std::to_string(port)});
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return Error{ErrorCode::kUsage, fmt::format("cannot start it: error {}", failed), program, {}};
  std::unique_ptr<LlamaServer> server(new LlamaServer(pid, port));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (std::chrono::steady_clock::now() < deadline) {
    httplib::Client client("127.0.0.1", port);
    if (const auto answer = client.Get("/health"); answer && answer->status == 200) return server;
    if (int status = 0; waitpid(pid, &status, WNOHANG) == pid) {
      server->pid_ = 0;
      return Error{ErrorCode::kRemote, "it ended before it was healthy", program, {}};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return Error{ErrorCode::kRemote, "not healthy after two minutes", program, {}};
}

LlamaServer::~LlamaServer() {
  if (pid_ == 0) return;
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

Result<Completion> LlamaServer::complete(const std::vector<std::int32_t>& prompt, std::uint32_t new_tokens,
                                         bool cache_prompt, std::uint32_t seed) const {
  const Json request = {{"prompt", prompt},   {"n_predict", new_tokens},
                        {"ignore_eos", true}, {"temperature", 0.7},
                        {"top_k", 0},         {"top_p", 1.0},
                        {"min_p", 0.0},       {"repeat_penalty", 1.0},
                        {"seed", seed},       {"cache_prompt", cache_prompt}};
  httplib::Client client("127.0.0.1", port_);
  client.set_read_timeout(600);
  const auto answer = client.Post("/completion", request.dump(), "application/json");
  if (!answer) return Error{ErrorCode::kRemote, "no answer to /completion", "llama-server", {}};
  if (answer->status != 200)
    return Error{ErrorCode::kRemote, fmt::format("HTTP {}: {}", answer->status, answer->body), "llama-server", {}};
  BH_TRY(const auto document, JsonDocument::parse(answer->body, "llama-server"));
  const auto& body = document.root();
  const auto& timings = body["timings"];
  return Completion{.text = body["content"],
                    .prompt_tokens = timings["prompt_n"],
                    .cached_tokens = timings.value("cache_n", 0U),
                    .predicted_tokens = timings["predicted_n"]};
}

}  // namespace bulkhead::bench
