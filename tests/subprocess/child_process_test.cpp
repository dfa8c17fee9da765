// SPDX-License-Identifier: MIT
#include "subprocess/child_process.h"

#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <stop_token>
#include <string>

namespace bulkhead::subprocess {
namespace {

using bulkhead::testing::read_file;
using bulkhead::testing::TemporaryFolder;
using bulkhead::testing::write_file;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

TEST(RunChild, TellsExitCodeAndStderr) {
  const auto outcome = run_child({{"sh", "-c", "echo out; echo reason >&2; exit 3"}, {}, {}}, {}, {});
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_EQ(outcome->exit_code, 3);
  EXPECT_EQ(outcome->errors, "reason\n");
}

TEST(RunChild, ArgumentsMeetNoShell) {
  const TemporaryFolder folder;
  const auto outcome = run_child({{"printf", "%s", "$(id); `id` * \"'"}, {}, folder / "out"}, {}, {});
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->exit_code, 0);
  EXPECT_EQ(read_file(folder / "out"), "$(id); `id` * \"'");
}

TEST(RunChild, AppendsOutputAndSetsVariables) {
  const TemporaryFolder folder;
  write_file(folder / "out", "before ");
  const auto outcome = run_child({{"sh", "-c", "printf '%s' \"$HOME $BULKHEAD_TEST\""},
                                  {{"HOME", "here"}, {"BULKHEAD_TEST", "set"}},
                                  folder / "out"},
                                 {}, {});
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(read_file(folder / "out"), "before here set");
}

TEST(RunChild, KeepsTheEndOfALongStderr) {
  const auto outcome = run_child(
      {{"sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo 'a line of noise' >&2; i=$((i+1)); done; echo last >&2"},
       {},
       {}},
      {}, {});
  ASSERT_TRUE(outcome.ok());
  EXPECT_LE(outcome->errors.size(), 4096U);
  EXPECT_THAT(outcome->errors, EndsWith("last\n"));
}

TEST(RunChild, NamesAProgramThatIsMissing) {
  const auto outcome = run_child({{"bulkhead-no-such-program"}, {}, {}}, {}, {});
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::kRemote);
  EXPECT_THAT(outcome.error().message, HasSubstr("bulkhead-no-such-program"));
  EXPECT_THAT(outcome.error().advice, HasSubstr("install"));
}

TEST(RunChild, AKilledChildCountsAsItsSignal) {
  const auto outcome = run_child({{"sh", "-c", "kill -9 $$"}, {}, {}}, {}, {});
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->exit_code, 128 + SIGKILL);
}

TEST(RunChild, StoppingEndsTheChildAndItsChildren) {
  const TemporaryFolder folder;
  std::stop_source stop;
  const auto start = Clock::now();
  int ticks = 0;
  const auto outcome = run_child(
      {{"sh", "-c", "sleep 30 & echo $! >> \"$0\"; wait", (folder / "pid").string()}, {}, {}},
      [&] {
        ++ticks;
        if (read_file(folder / "pid").ends_with('\n')) stop.request_stop();
      },
      stop.get_token());
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::kInterrupted);
  EXPECT_GE(ticks, 1);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
  const int grandchild = std::stoi(read_file(folder / "pid"));
  // It may still be a zombie until init takes it; a running one would be found sleeping.
  const auto state = read_file("/proc/" + std::to_string(grandchild) + "/stat");
  EXPECT_EQ(state.find(") S"), std::string::npos) << state;
}

TEST(RunChild, AChildThatWillNotEndIsKilled) {
  std::stop_source stop;
  const auto start = Clock::now();
  const auto outcome = run_child(
      {{"sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"}, {}, {}},
      [&] {
        if (Clock::now() - start > std::chrono::milliseconds(300)) stop.request_stop();
      },
      stop.get_token());
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::kInterrupted);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
}

// What the child started goes on writing: neither its end nor ours waits for that. It writes enough itself, since what
// it started may not have come to its first word by then.
TEST(RunChild, DoesNotWaitForWhoInheritedItsStderr) {
  const auto start = Clock::now();
  const auto outcome = run_child({{"sh", "-c", "yes | head -c 100000 >&2; yes >&2 & exit 3"}, {}, {}}, {}, {});
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_EQ(outcome->exit_code, 3);
  EXPECT_EQ(outcome->errors.size(), ErrorTail::kKeptBytes);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
}

TEST(ChildProcess, WhatItStartedEndsWithIt) {
  ChildCommand command{
      .arguments = {"sh", "-c", "sleep 60 & echo $!"}, .variables = {}, .append_output_to = {}, .talks = true};
  auto child = ChildProcess::start(command);
  ASSERT_TRUE(child.ok()) << child.error().to_string();
  std::string told(16, ' ');
  const auto got = ::read(child->output.get(), told.data(), told.size());
  ASSERT_GT(got, 0);
  EXPECT_EQ(child->end(std::chrono::seconds(10)), 0);
  const auto grandchild = static_cast<pid_t>(std::stol(told));
  const auto state = read_file("/proc/" + std::to_string(grandchild) + "/stat");
  EXPECT_EQ(state.find(") S"), std::string::npos) << state;
}

TEST(ChildProcess, TalksOverItsStdinAndStdout) {
  ChildCommand command{.arguments = {"cat"}, .variables = {}, .append_output_to = {}, .talks = true};
  auto child = ChildProcess::start(command);
  ASSERT_TRUE(child.ok()) << child.error().to_string();
  ASSERT_EQ(::write(child->input.get(), "hello", 5), 5);
  std::string heard(5, ' ');
  ASSERT_EQ(::read(child->output.get(), heard.data(), heard.size()), 5);
  EXPECT_EQ(heard, "hello");
  EXPECT_FALSE(child->exit_code().has_value());
  EXPECT_EQ(child->end(std::chrono::seconds(10)), 0) << "the end of its stdin ends it";
  EXPECT_EQ(child->exit_code(), 0);
}

TEST(ChildProcess, DoesNotOutliveItsOwner) {
  pid_t pid = 0;
  {
    ChildCommand command{.arguments = {"sleep", "60"}, .variables = {}, .append_output_to = {}, .talks = true};
    auto child = ChildProcess::start(command);
    ASSERT_TRUE(child.ok());
    pid = child->pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_NE(::kill(pid, 0), 0) << "it is gone, its status taken";
}

}  // namespace
}  // namespace bulkhead::subprocess
