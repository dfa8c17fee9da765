// SPDX-License-Identifier: MIT
#include "models/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>
#if defined(__APPLE__)
#include <crt_externs.h>
#endif

namespace bulkhead::models {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kKeptErrors = 4096;
constexpr auto kGrace = std::chrono::seconds(2);

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  [[nodiscard]] int get() const noexcept { return number_; }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

struct FileActions {
  posix_spawn_file_actions_t value{};
  FileActions() { posix_spawn_file_actions_init(&value); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { posix_spawn_file_actions_destroy(&value); }
};

struct SpawnAttributes {
  posix_spawnattr_t value{};
  SpawnAttributes() { posix_spawnattr_init(&value); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  ~SpawnAttributes() { posix_spawnattr_destroy(&value); }
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (auto& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

char** own_environment() {
#if defined(__APPLE__)
  return *_NSGetEnviron();  // a shared library has no environ there
#else
  return environ;
#endif
}

// Our environment with `variables` in place of ours of the same name.
std::vector<std::string> merged_environment(const std::vector<std::pair<std::string, std::string>>& variables) {
  std::vector<std::string> result;
  for (char** entry = own_environment(); *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto name = text.substr(0, text.find('='));
    const bool replaced =
        std::any_of(variables.begin(), variables.end(), [&](const auto& v) { return v.first == name; });
    if (!replaced) result.emplace_back(text);
  }
  for (const auto& [name, value] : variables) result.push_back(fmt::format("{}={}", name, value));
  return result;
}

Error start_error(const std::string& program, int error) {
  return Error{ErrorCode::kRemote,
               fmt::format("cannot start {}: {}", program, std::strerror(error)),
               {},
               error == ENOENT ? fmt::format("install {}", program) : ""};
}

Result<pid_t> spawn(const ChildCommand& command, int error_pipe) {
  FileActions actions;
  posix_spawn_file_actions_addopen(&actions.value, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  const std::string output = command.append_output_to.empty() ? "/dev/null" : command.append_output_to.string();
  posix_spawn_file_actions_addopen(&actions.value, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
  posix_spawn_file_actions_adddup2(&actions.value, error_pipe, STDERR_FILENO);

  // A group of its own, so that stopping reaches the child's children; signals as a fresh program expects them.
  SpawnAttributes attributes;
  sigset_t none;
  sigset_t defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGXFSZ, SIGCHLD}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigmask(&attributes.value, &none);
  posix_spawnattr_setsigdefault(&attributes.value, &defaults);
  posix_spawnattr_setpgroup(&attributes.value, 0);
  posix_spawnattr_setflags(&attributes.value,
                           static_cast<short>(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK));

  auto arguments = command.arguments;
  auto environment = merged_environment(command.variables);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0].c_str(), &actions.value, &attributes.value,
                                 pointers(arguments).data(), pointers(environment).data());
  if (error != 0) return start_error(arguments[0], error);
  return child;
}

// Reads what is there, waiting `timeout_ms` at most, and keeps the end of it. False when nothing came.
bool read_errors(int pipe, int timeout_ms, std::string& kept) {
  pollfd ready{pipe, POLLIN, 0};
  if (::poll(&ready, 1, timeout_ms) <= 0 || (ready.revents & POLLIN) == 0) return false;
  std::array<char, kKeptErrors> buffer{};
  const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
  if (got <= 0) return false;
  kept.append(buffer.data(), static_cast<std::size_t>(got));
  if (kept.size() > kKeptErrors) kept.erase(0, kept.size() - kKeptErrors);
  return true;
}

// The exit code if the child has ended.
std::optional<int> ended(pid_t child, int options) {
  int status = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(child, &status, options);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return std::nullopt;
  if (got < 0) return 1;  // somebody else has taken its status: nothing is known, so do not call it a success
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void end_group(pid_t child) {
  ::kill(-child, SIGTERM);
  const auto deadline = Clock::now() + kGrace;
  while (!ended(child, WNOHANG)) {
    if (Clock::now() > deadline) {
      ::kill(-child, SIGKILL);
      ended(child, 0);
      return;
    }
    ::poll(nullptr, 0, 20);
  }
}

}  // namespace

Result<ChildOutcome> run_child(const ChildCommand& command, const std::function<void()>& tick,
                               const std::stop_token& stop) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return start_error(command.arguments[0], errno);
  const Descriptor reading(ends[0]);
  Descriptor writing(ends[1]);
  // The copy made for the child's stderr loses this flag; no other child may hold the pipe open.
  ::fcntl(reading.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(writing.get(), F_SETFD, FD_CLOEXEC);
  BH_TRY(const pid_t child, spawn(command, writing.get()));
  writing.close();

  ChildOutcome outcome;
  for (;;) {
    const auto started = Clock::now();
    read_errors(reading.get(), 100, outcome.errors);
    if (const auto code = ended(child, WNOHANG)) {
      outcome.exit_code = *code;
      break;
    }
    if (stop.stop_requested()) {
      end_group(child);
      return Error{ErrorCode::kInterrupted, fmt::format("{} was stopped", command.arguments[0]), {}, {}};
    }
    if (tick) tick();
    // A closed pipe is always ready; do not spin on it.
    if (Clock::now() - started < std::chrono::milliseconds(10)) ::poll(nullptr, 0, 10);
  }
  // What it said last may still be in the pipe.
  while (read_errors(reading.get(), 0, outcome.errors)) {
  }
  return outcome;
}

}  // namespace bulkhead::models
