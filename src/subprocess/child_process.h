// SPDX-License-Identifier: MIT
// Other programs as children of this one. No shell sees the arguments.
#pragma once

#include "base/result.h"

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::subprocess {

struct ChildCommand {
  std::vector<std::string> arguments;                          // [0] is the program, found by PATH
  std::vector<std::pair<std::string, std::string>> variables;  // on top of our own environment
  std::filesystem::path append_output_to;                      // file for its stdout; empty: thrown away
  bool talks = false;                                          // its stdin and stdout are ours to write and read
};

// A file descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) noexcept : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }
  [[nodiscard]] int get() const noexcept { return number_; }
  void close();

 private:
  int number_;
};

// The end of what a child says on stderr.
class ErrorTail {
 public:
  static constexpr std::size_t kKeptBytes = 4096;

  void add(std::string_view text);
  // Reads what is there, waiting `timeout_ms` at most. False when nothing came.
  bool read_from(int pipe, int timeout_ms);
  // Reads what was left in the pipe by a child that has ended. Who inherited the pipe and goes on writing is not
  // waited for.
  void read_rest(int pipe);
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

// A running child in a process group of its own. Whichever way it ends, what is left of its group is killed when it is
// collected, and no zombie stays. One thread at a time, save that distinct descriptors may be used by distinct threads.
class ChildProcess {
 public:
  // kRemote when the program cannot be started.
  [[nodiscard]] static Result<ChildProcess> start(const ChildCommand& command);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  // Ends it, if it still runs.
  ~ChildProcess();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  // 128 + signal number when a signal ended it; nothing while it runs.
  [[nodiscard]] std::optional<int> exit_code();
  // Closes its stdin, waits `patience` for it to end by itself, sends SIGTERM, after 2 s SIGKILL, and collects it.
  // Gives the exit code.
  int end(std::chrono::milliseconds patience);
  // SIGKILL to its group, at once, and collects it. One that the kernel does not let die is left to it after 5 s.
  void kill();

  Descriptor input;   // its stdin, a socket: send() with MSG_NOSIGNAL. Only if it talks
  Descriptor output;  // its stdout. Only if it talks
  Descriptor errors;  // its stderr

 private:
  ChildProcess() = default;
  [[nodiscard]] bool wait(std::chrono::milliseconds time);
  pid_t pid_ = 0;  // 0: collected, or none
  std::optional<int> exit_code_;
};

struct ChildOutcome {
  int exit_code = 0;   // 128 + signal number when a signal ended it
  std::string errors;  // the last 4 KiB of its stderr
};

// Runs `command` with an empty stdin until it ends. `tick` (may be empty) is called about ten times a second. When
// `stop` is requested, the child and its own children get SIGTERM, after 2 s SIGKILL: kInterrupted. kRemote when the
// program cannot be started. Callable from any thread.
[[nodiscard]] Result<ChildOutcome> run_child(const ChildCommand& command, const std::function<void()>& tick,
                                             const std::stop_token& stop);

}  // namespace bulkhead::subprocess
