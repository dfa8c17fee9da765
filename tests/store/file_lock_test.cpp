// SPDX-License-Identifier: MIT
#include "store/file_lock.h"

#include "temporary_folder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <optional>
#include <stop_token>
#include <thread>

namespace bulkhead::store {
namespace {

using bulkhead::testing::TemporaryFolder;
using ::testing::HasSubstr;

// A child process that holds a lock until it is killed.
class Holder {
 public:
  explicit Holder(const std::filesystem::path& path) {
    std::array<int, 2> pipe{};
    if (::pipe(pipe.data()) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      auto lock = FileLock::try_acquire(path);
      const char answer = lock.ok() ? 'y' : 'n';
      if (::write(pipe[1], &answer, 1) != 1) ::_exit(1);
      ::pause();
      ::_exit(0);
    }
    char answer = '?';
    if (::read(pipe[0], &answer, 1) == 1) holds_ = answer == 'y';
    ::close(pipe[0]);
    ::close(pipe[1]);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() { kill(); }

  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    pid_ = 0;
  }
  [[nodiscard]] bool holds() const noexcept { return holds_; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = 0;
  bool holds_ = false;
};

TEST(FileLock, NamesTheProcessThatHoldsIt) {
  const TemporaryFolder folder;
  const Holder holder(folder / "lock");
  ASSERT_TRUE(holder.holds());
  const auto lock = FileLock::try_acquire(folder / "lock");
  ASSERT_FALSE(lock.ok());
  EXPECT_EQ(lock.error().code, ErrorCode::kResource);
  EXPECT_EQ(lock.error().message, fmt::format("locked by pid {}", holder.pid()));
}

TEST(FileLock, IsFreeWhenTheHolderIsKilled) {
  const TemporaryFolder folder;
  Holder holder(folder / "lock");
  ASSERT_TRUE(holder.holds());
  holder.kill();
  EXPECT_TRUE(FileLock::try_acquire(folder / "lock").ok());
}

TEST(FileLock, ExcludesWithinOneProcessAndMoves) {
  const TemporaryFolder folder;
  auto first = FileLock::try_acquire(folder / "lock");
  ASSERT_TRUE(first.ok());
  std::optional<FileLock> moved(std::move(first).value());
  EXPECT_FALSE(FileLock::try_acquire(folder / "lock").ok());
  moved.reset();
  EXPECT_TRUE(FileLock::try_acquire(folder / "lock").ok());
}

TEST(FileLock, AcquireWaitsAndSaysSoOnce) {
  const TemporaryFolder folder;
  Holder holder(folder / "lock");
  ASSERT_TRUE(holder.holds());
  const long expected = holder.pid();
  std::atomic<int> told{0};
  std::atomic<long> who{0};
  std::jthread killer([&] {
    while (told == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    holder.kill();
  });
  const auto lock = FileLock::acquire(folder / "lock", [&](long pid) {
    who = pid;
    ++told;
  });
  EXPECT_TRUE(lock.ok());
  EXPECT_EQ(told, 1);
  EXPECT_EQ(who, expected);
}

TEST(FileLock, WaitingCanBeStopped) {
  const TemporaryFolder folder;
  const Holder holder(folder / "lock");
  ASSERT_TRUE(holder.holds());
  std::stop_source stop;
  const auto lock = FileLock::acquire(
      folder / "lock", [&](long) { stop.request_stop(); }, stop.get_token());
  ASSERT_FALSE(lock.ok());
  EXPECT_EQ(lock.error().code, ErrorCode::kInterrupted);
}

TEST(FileLock, NamesAPlaceWhereNoLockCanBe) {
  const TemporaryFolder folder;
  const auto lock = FileLock::try_acquire(folder / "missing" / "lock");
  ASSERT_FALSE(lock.ok());
  EXPECT_EQ(lock.error().code, ErrorCode::kResource);
  EXPECT_THAT(lock.error().place, HasSubstr("missing/lock"));
}

}  // namespace
}  // namespace bulkhead::store
