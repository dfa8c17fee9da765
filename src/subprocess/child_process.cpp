// SPDX-License-Identifier: MIT
#include "subprocess/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/types.h>
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
#include <utility>
#if defined(__APPLE__)
#include <crt_externs.h>
#endif

namespace bulkhead::subprocess {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kGrace{2};
// A process that the kernel holds does not die of SIGKILL either: it is not waited for without a limit.
constexpr std::chrono::seconds kDeath{5};
// A pipe holds 64 KiB; more than this was written after the child's end.
constexpr int kMostRest = 1 << 8;

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

// Two connected descriptors that no other child inherits: nobody else may hold a pipe open that has to end.
struct Ends {
  Descriptor ours = Descriptor();
  Descriptor childs = Descriptor();
};

int make_ends(bool socket, std::array<int, 2>& ends) {
#if defined(__linux__)
  // In one step: another thread may be starting a child at this moment.
  return socket ? ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) : ::pipe2(ends.data(), O_CLOEXEC);
#else
  const int made = socket ? ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) : ::pipe(ends.data());
  for (const int end : ends) {
    if (made == 0) ::fcntl(end, F_SETFD, FD_CLOEXEC);
  }
  return made;
#endif
}

// The child reads from it. A socket, because writing to one whose reader is gone need not raise a signal.
std::optional<Ends> to_child() {
  std::array<int, 2> ends{};
  if (make_ends(true, ends) != 0) return std::nullopt;
#if defined(SO_NOSIGPIPE)
  const int on = 1;
  ::setsockopt(ends[0], SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
#endif
  return Ends{Descriptor(ends[0]), Descriptor(ends[1])};
}

std::optional<Ends> from_child() {
  std::array<int, 2> ends{};
  if (make_ends(false, ends) != 0) return std::nullopt;
  return Ends{Descriptor(ends[0]), Descriptor(ends[1])};
}

struct ChildEnds {
  int input = -1;   // -1: nothing to read
  int output = -1;  // -1: to the file of the command
  int errors = -1;
};

Result<pid_t> spawn(const ChildCommand& command, const ChildEnds& ends) {
  FileActions actions;
  if (ends.input >= 0) {
    posix_spawn_file_actions_adddup2(&actions.value, ends.input, STDIN_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions.value, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  const std::string output = command.append_output_to.empty() ? "/dev/null" : command.append_output_to.string();
  if (ends.output >= 0) {
    posix_spawn_file_actions_adddup2(&actions.value, ends.output, STDOUT_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions.value, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0666);
  }
  posix_spawn_file_actions_adddup2(&actions.value, ends.errors, STDERR_FILENO);

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

// The exit code if the child has ended. It stays to be collected: until then its number, which is also that of its
// group, can be no other's.
std::optional<int> ended(pid_t child) {
  siginfo_t info{};
  int got = 0;
  do {
    got = ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return 1;  // somebody else has taken its status: nothing is known, so do not call it a success
  if (info.si_pid == 0) return std::nullopt;
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

void Descriptor::close() {
  if (number_ >= 0) ::close(number_);
  number_ = -1;
}

void ErrorTail::add(std::string_view text) {
  text_ += text;
  if (text_.size() > kKeptBytes) text_.erase(0, text_.size() - kKeptBytes);
}

bool ErrorTail::read_from(int pipe, int timeout_ms) {
  pollfd ready{pipe, POLLIN, 0};
  if (::poll(&ready, 1, timeout_ms) <= 0 || (ready.revents & POLLIN) == 0) return false;
  std::array<char, kKeptBytes> buffer{};
  const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
  if (got <= 0) return false;
  add({buffer.data(), static_cast<std::size_t>(got)});
  return true;
}

void ErrorTail::read_rest(int pipe) {
  for (int i = 0; i < kMostRest && read_from(pipe, 0); ++i) {
  }
}

Result<ChildProcess> ChildProcess::start(const ChildCommand& command) {
  auto errors = from_child();
  auto input = command.talks ? to_child() : std::optional<Ends>(std::in_place);
  auto output = command.talks ? from_child() : std::optional<Ends>(std::in_place);
  if (!errors || !input || !output) return start_error(command.arguments[0], errno);
  ChildProcess child;
  BH_TRY(child.pid_, spawn(command, {input->childs.get(), output->childs.get(), errors->childs.get()}));
  child.input = std::move(input->ours);
  child.output = std::move(output->ours);
  child.errors = std::move(errors->ours);
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : input(std::move(other.input)),
      output(std::move(other.output)),
      errors(std::move(other.errors)),
      pid_(std::exchange(other.pid_, 0)),
      exit_code_(other.exit_code_) {}

ChildProcess::~ChildProcess() {
  end(std::chrono::milliseconds(0));
}

std::optional<int> ChildProcess::exit_code() {
  if (!exit_code_ && pid_ != 0) exit_code_ = ended(pid_);
  return exit_code_;
}

bool ChildProcess::wait(std::chrono::milliseconds time) {
  const auto deadline = Clock::now() + time;
  while (!exit_code() && Clock::now() < deadline) ::poll(nullptr, 0, 2);
  return exit_code().has_value();
}

int ChildProcess::end(std::chrono::milliseconds patience) {
  input.close();
  if (pid_ != 0 && !wait(patience)) {
    ::kill(-pid_, SIGTERM);
    static_cast<void>(wait(kGrace));
  }
  kill();
  return exit_code_.value_or(1);
}

void ChildProcess::kill() {
  if (pid_ == 0) return;
  ::kill(-pid_, SIGKILL);
  static_cast<void>(wait(kDeath));
  // One that does not die even now is collected by init, when we end.
  while (::waitpid(pid_, nullptr, WNOHANG) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

Result<ChildOutcome> run_child(const ChildCommand& command, const std::function<void()>& tick,
                               const std::stop_token& stop) {
  BH_TRY(auto child, ChildProcess::start(command));
  ErrorTail errors;
  while (!child.exit_code()) {
    const auto started = Clock::now();
    errors.read_from(child.errors.get(), 100);
    if (child.exit_code()) break;
    if (stop.stop_requested()) {
      child.end(std::chrono::milliseconds(0));
      return Error{ErrorCode::kInterrupted, fmt::format("{} was stopped", command.arguments[0]), {}, {}};
    }
    if (tick) tick();
    // A closed pipe is always ready; do not spin on it.
    if (Clock::now() - started < std::chrono::milliseconds(10)) ::poll(nullptr, 0, 10);
  }
  errors.read_rest(child.errors.get());
  return ChildOutcome{child.exit_code().value_or(1), errors.text()};
}

}  // namespace bulkhead::subprocess
