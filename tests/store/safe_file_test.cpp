// SPDX-License-Identifier: MIT
#include "store/safe_file.h"

#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>

namespace bulkhead::store {
namespace {

using bulkhead::testing::read_file;
using bulkhead::testing::TemporaryFolder;
using bulkhead::testing::write_file;
using ::testing::HasSubstr;

// Runs `body` in a child process; its return value becomes the exit status.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// From here on no file of this process can grow beyond `bytes`: write() fails with EFBIG.
void limit_file_size(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, bytes};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

TEST(WriteFileAtomically, ReplacesTheWholeFileAndLeavesNothingBeside) {
  const TemporaryFolder folder;
  const auto path = folder / "results.json";
  const std::string binary("new\0bytes\n", 10);
  ASSERT_TRUE(write_file_atomically(path, "an older and longer content").ok());
  ASSERT_TRUE(write_file_atomically(path, binary).ok());
  EXPECT_EQ(read_file(path), binary);
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WriteFileAtomically, KeepsTheOldFileWhenTheSizeLimitIsReached) {
  const TemporaryFolder folder;
  const auto path = folder / "results.json";
  write_file(path, "old");
  const int status = in_child([&] {
    limit_file_size(4096);
    const auto written = write_file_atomically(path, std::string(10'000, 'x'));
    if (written.ok() || written.error().code != ErrorCode::kResource) return 1;
    if (written.error().message.find("10000 bytes") == std::string::npos) return 2;
    if (written.error().place != path.string()) return 3;
    return written.error().advice.find("limit") == std::string::npos ? 4 : 0;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WriteFileAtomically, NamesAFolderThatIsMissing) {
  const TemporaryFolder folder;
  const auto written = write_file_atomically(folder / "missing" / "file", "x");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, ErrorCode::kResource);
  EXPECT_THAT(written.error().place, HasSubstr("missing/file"));
}

TEST(WriteFileAtomically, WillNotReplaceAFolder) {
  const TemporaryFolder folder;
  write_file(folder / "taken" / "inside", "x");
  const auto written = write_file_atomically(folder / "taken", "y");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, ErrorCode::kResource);
  EXPECT_EQ(read_file(folder / "taken" / "inside"), "x");
  EXPECT_EQ(folder.entries(), 1U);
}

#if defined(__linux__)
// A real full disk: a file system of 64 KiB in memory.
class FullDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=64k") == 0;
    if (!mounted_) GTEST_SKIP() << "mounting a small tmpfs needs root";
  }
  void TearDown() override {
    if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  TemporaryFolder folder_;
  bool mounted_ = false;
};

TEST_F(FullDisk, AtomicWriteKeepsTheOldFile) {
  const auto path = folder_ / "results.json";
  ASSERT_TRUE(write_file_atomically(path, "old").ok());
  const auto written = write_file_atomically(path, std::string(100'000, 'x'));
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, ErrorCode::kResource);
  EXPECT_THAT(written.error().message, HasSubstr("100000 bytes"));
  EXPECT_THAT(written.error().advice, HasSubstr("disk is full"));
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(folder_.entries(), 1U);
}

TEST_F(FullDisk, LineFileEndsWithAWholeLineAndGoesOnWhenThereIsRoom) {
  write_file(folder_ / "ballast", std::string(40'000, 'x'));
  auto lines = LineFile::open(folder_ / "samples.jsonl");
  ASSERT_TRUE(lines.ok());
  ASSERT_TRUE(lines->append("first").ok());
  const auto failed = lines->append(std::string(40'000, 'y'));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kResource);
  EXPECT_EQ(read_file(folder_ / "samples.jsonl"), "first\n");
  std::filesystem::remove(folder_ / "ballast");
  ASSERT_TRUE(lines->append("second").ok());
  EXPECT_EQ(read_file(folder_ / "samples.jsonl"), "first\nsecond\n");
}

TEST_F(FullDisk, ADiskWithoutRoomIsNotWritable) {
  write_file(folder_ / "ballast", std::string(65'536, 'x'));
  const auto checked = check_writable_directory(folder_.path());
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().code, ErrorCode::kResource);
}

TEST_F(FullDisk, AReadOnlyMountIsFoundOutEvenByRoot) {
  ASSERT_EQ(::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64k"), 0);
  const auto checked = check_writable_directory(folder_.path());
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().code, ErrorCode::kResource);
  EXPECT_THAT(checked.error().advice, HasSubstr("read-only"));
}
#endif

TEST(CheckWritableDirectory, MakesItWithParentsAndLeavesItEmpty) {
  const TemporaryFolder folder;
  const auto path = folder / "a" / "b" / "c";
  ASSERT_TRUE(check_writable_directory(path).ok());
  EXPECT_TRUE(std::filesystem::is_empty(path));
  EXPECT_TRUE(check_writable_directory(path).ok());
}

TEST(CheckWritableDirectory, RefusesAFileAndAFolderBelowAFile) {
  const TemporaryFolder folder;
  write_file(folder / "file", "x");
  for (const auto& path : {folder / "file", folder / "file" / "below"}) {
    const auto checked = check_writable_directory(path);
    ASSERT_FALSE(checked.ok()) << path;
    EXPECT_EQ(checked.error().code, ErrorCode::kResource);
    EXPECT_EQ(checked.error().place, path.string());
  }
  EXPECT_EQ(read_file(folder / "file"), "x");
}

TEST(CheckWritableDirectory, RefusesALoopOfLinksAndADanglingLink) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("loop", folder / "loop");
  std::filesystem::create_symlink("nowhere", folder / "dangling");
  for (const auto& path : {folder / "loop", folder / "loop" / "below", folder / "dangling"}) {
    const auto checked = check_writable_directory(path);
    ASSERT_FALSE(checked.ok()) << path;
    EXPECT_EQ(checked.error().code, ErrorCode::kResource);
  }
}

TEST(CheckWritableDirectory, ProbesInsteadOfReadingModeBits) {
  const TemporaryFolder folder;
  const auto path = folder / "locked";
  std::filesystem::create_directory(path);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  const auto checked = check_writable_directory(path);
  // The mode forbids writing to everyone but root, for whom it is no obstacle.
  EXPECT_EQ(checked.ok(), ::geteuid() == 0);
}

TEST(LineFile, AKilledWriterLosesNoLine) {
  const TemporaryFolder folder;
  const auto path = folder / "samples.jsonl";
  const int status = in_child([&] {
    auto lines = LineFile::open(path);
    if (!lines.ok() || !lines->append("{\"n\":1}").ok() || !lines->append("{\"n\":2}").ok()) return 1;
    std::raise(SIGKILL);
    return 2;
  });
  EXPECT_EQ(status, 1000 + SIGKILL);
  EXPECT_EQ(read_file(path), "{\"n\":1}\n{\"n\":2}\n");
}

TEST(LineFile, ClosesAHalfWrittenLineOfAnEarlierRun) {
  const TemporaryFolder folder;
  const auto path = folder / "samples.jsonl";
  write_file(path, "{\"n\":1}\n{\"n\":");
  auto lines = LineFile::open(path);
  ASSERT_TRUE(lines.ok());
  ASSERT_TRUE(lines->append("{\"n\":3}").ok());
  EXPECT_EQ(read_file(path), "{\"n\":1}\n{\"n\":\n{\"n\":3}\n");
  EXPECT_TRUE(lines->sync().ok());
}

TEST(LineFile, CutsALineThatDidNotFitIntoTheSizeLimit) {
  const TemporaryFolder folder;
  const auto path = folder / "samples.jsonl";
  const int status = in_child([&] {
    limit_file_size(100);
    auto lines = LineFile::open(path);
    if (!lines.ok() || !lines->append(std::string(50, 'a')).ok()) return 1;
    const auto failed = lines->append(std::string(80, 'b'));
    if (failed.ok() || failed.error().code != ErrorCode::kResource) return 2;
    return lines->append("c").ok() ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_file(path), std::string(50, 'a') + "\nc\n");
}

TEST(LineFile, RefusesANewlineInsideALine) {
  const TemporaryFolder folder;
  auto lines = LineFile::open(folder / "samples.jsonl");
  ASSERT_TRUE(lines.ok());
  const auto appended = lines->append("two\nlines");
  ASSERT_FALSE(appended.ok());
  EXPECT_EQ(appended.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(read_file(folder / "samples.jsonl"), "");
}

TEST(LineFile, CannotOpenAFolder) {
  const TemporaryFolder folder;
  const auto lines = LineFile::open(folder.path());
  ASSERT_FALSE(lines.ok());
  EXPECT_EQ(lines.error().code, ErrorCode::kResource);
}

}  // namespace
}  // namespace bulkhead::store
