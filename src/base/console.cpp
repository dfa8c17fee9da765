// SPDX-License-Identifier: MIT
#include "base/console.h"

#include "base/printable.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <string>

namespace bulkhead::console {
namespace {

std::atomic<int> lost{0};  // NOLINT(*-global-variables): errno of the first write to stdout that failed

// 0, or errno.
int write_all(int descriptor, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const auto written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    if (written == 0) return EIO;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

void to_stdout(std::string_view bytes) noexcept {
  const int failure = write_all(STDOUT_FILENO, bytes);
  int none = 0;
  if (failure != 0) lost.compare_exchange_strong(none, failure);
}

// Nothing said is worth ending the process for, not even when there is no memory to make it printable.
template <typename Make>
void to_stderr(const Make& make) noexcept {
  try {
    static_cast<void>(write_all(STDERR_FILENO, make()));
  } catch (const std::exception&) {
    static_cast<void>(write_all(STDERR_FILENO, "(a message, and no memory to show it)\n"));
  }
}

}  // namespace

void prepare() {
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    // open() takes the lowest number that is free. In the wrong direction, so that its use fails.
    const int stand_in = ::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    static_cast<void>(stand_in);
  }
}

void say_line(std::string_view text) noexcept {
  to_stderr([&] { return printable(text) + '\n'; });
}

void redraw(std::string_view text) noexcept {
  to_stderr([&] { return "\r\033[K" + printable(text, LineBreaks::kEscape); });
}

void end_line() noexcept {
  static_cast<void>(write_all(STDERR_FILENO, "\n"));
}

void print_text(std::string_view text) noexcept {
  try {
    to_stdout(printable(text));
  } catch (const std::exception& error) {
    nothing_printed(error.what());
  }
}

void print_data(std::string_view data) noexcept {
  to_stdout(data);
}

void print_path(std::string_view path) noexcept {
  if (::isatty(STDOUT_FILENO) == 1) {
    print("{}\n", path);
  } else {
    to_stdout(path);
    to_stdout("\n");
  }
}

void nothing_printed(std::string_view why) noexcept {
  lost = ENOMEM;
  say_line(why);
}

Result<void> arrived() {
  const int failure = lost.load();
  if (failure == 0) return {};
  return Error{ErrorCode::kResource, std::string("the output could not be written: ") + std::strerror(failure),
               "stdout", "what went to files is whole"};
}

}  // namespace bulkhead::console
