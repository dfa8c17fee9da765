// SPDX-License-Identifier: MIT
#include "base/console.h"

#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>

namespace bulkhead {
namespace {

// What `act` leaves on a descriptor of its own process, and how that process ended.
struct Said {
  std::string text;
  int status = -1;
};

Said said(int descriptor, const std::function<int()>& act) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const auto child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], descriptor);
    ::close(ends[0]);
    ::close(ends[1]);
    std::_Exit(act());
  }
  ::close(ends[1]);
  Said result;
  char piece[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], piece, sizeof(piece))) > 0;)
    result.text.append(piece, static_cast<std::size_t>(got));
  ::close(ends[0]);
  ::waitpid(child, &result.status, 0);
  return result;
}

// As said(), with `path` for the descriptor, or with nothing there when it is empty. Gives the exit code, 128 and more
// for a signal.
int ends_with(int descriptor, const std::string& path, const std::function<int()>& act) {
  const auto child = ::fork();
  if (child == 0) {
    ::close(descriptor);
    if (!path.empty() && ::open(path.c_str(), O_WRONLY) != descriptor) std::_Exit(99);
    std::_Exit(act());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int print_and_ask() {
  console::prepare();
  console::print("{} things\n", 2);
  return console::arrived().ok() ? 0 : exit_code(console::arrived().error().code);
}

TEST(Console, TextForPeopleIsPrintableAndDataStays) {
  const auto text = said(STDOUT_FILENO, [] {
    console::print("{}\n", "a\x1b[31m");
    console::print_data("a\x1b[31m\n");
    console::print_path("\xFF");
    return 0;
  });
  EXPECT_EQ(text.text, "a\\u001b[31m\na\x1b[31m\n\xFF\n");
}

TEST(Console, WhatIsSaidIsPrintable) {
  const auto text = said(STDERR_FILENO, [] {
    console::say("{}: {}", "\x1b]0;title\x07", "a\nb");
    console::redraw("\x1b[2J\nx");
    console::end_line();
    log::get().warn("the name {} of others", "\x1b[2J\xFF");
    log::get().info("not said at this level");
    return 0;
  });
  EXPECT_EQ(text.text,
            "\\u001b]0;title\\u0007: a\nb\n\r\x1b[K\\u001b[2J\\nx\nwarning: the name \\u001b[2J\\xff of others\n");
}

TEST(Console, OutputThatDoesNotArriveIsKnownAtTheEnd) {
  EXPECT_EQ(ends_with(STDOUT_FILENO, "/dev/null", print_and_ask), 0);
  EXPECT_EQ(ends_with(STDOUT_FILENO, "/dev/full", print_and_ask), 5);
  EXPECT_EQ(ends_with(STDOUT_FILENO, "", print_and_ask), 5);
}

TEST(Console, AClosedPipeIsAFailedWriteAndNoSignal) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  const auto dup_and = [&](int descriptor, const std::function<int()>& act) {
    return ends_with(descriptor, "/dev/null", [&] {
      ::dup2(ends[1], descriptor);
      return act();
    });
  };
  EXPECT_EQ(dup_and(STDOUT_FILENO, print_and_ask), 5);
  EXPECT_EQ(dup_and(STDERR_FILENO,
                    [] {
                      console::prepare();
                      console::say("nobody hears this");
                      log::get().error("nor this");
                      return 0;
                    }),
            0);
  ::close(ends[1]);
}

TEST(Console, NothingSaidOnStderrEndsTheProcess) {
  for (const auto* where : {"/dev/full", ""}) {
    EXPECT_EQ(ends_with(STDERR_FILENO, where,
                        [] {
                          console::prepare();
                          console::say("{}", std::string(100'000, 'x'));
                          console::redraw("x");
                          console::end_line();
                          log::get().error("{}", "x");
                          return 0;
                        }),
              0)
        << where;
  }
}

TEST(Console, AFileOpenedLaterIsNeverAStandardDescriptor) {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    EXPECT_EQ(ends_with(descriptor, "",
                        [] {
                          console::prepare();
                          return ::open("/dev/null", O_WRONLY) > STDERR_FILENO ? 0 : 1;
                        }),
              0)
        << descriptor;
  }
}

}  // namespace
}  // namespace bulkhead
