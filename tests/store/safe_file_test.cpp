// SPDX-License-Identifier: MIT
#include "store/safe_file.h"

#include "temporary_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
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

TEST(WriteNewFile, WritesItsPartsForItsOwnerAlone) {
  const TemporaryFolder folder;
  const auto path = folder / "new";
  const std::array<std::string_view, 3> parts = {"one", std::string_view("\0two", 4), ""};
  ASSERT_TRUE(write_new_file(path, parts).ok());
  EXPECT_EQ(read_file(path), std::string("one\0two", 7));
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 077U, 0U);
}

TEST(WriteNewFile, TakesThePlaceOfNothing) {
  const TemporaryFolder folder;
  const std::array<std::string_view, 1> parts = {"new"};
  write_file(folder / "old", "old");
  std::filesystem::create_symlink(folder / "elsewhere", folder / "link");
  for (const auto& path : {folder / "old", folder / "link"}) {
    const auto written = write_new_file(path, parts);
    ASSERT_FALSE(written.ok()) << path;
    EXPECT_EQ(written.error().code, ErrorCode::kResource);
  }
  EXPECT_EQ(read_file(folder / "old"), "old");
  EXPECT_FALSE(std::filesystem::exists(folder / "elsewhere"));
}

TEST(WriteNewFile, LeavesNothingWhereItCannotBeFinished) {
  const TemporaryFolder folder;
  const auto path = folder / "new";
  const int status = in_child([&] {
    limit_file_size(4096);
    const std::array<std::string_view, 2> parts = {"small", std::string_view()};
    const std::string large(10'000, 'x');
    const std::array<std::string_view, 2> more = {"small", large};
    if (!write_new_file(folder / "other", parts).ok()) return 1;
    const auto written = write_new_file(path, more);
    return !written.ok() && written.error().code == ErrorCode::kResource ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(std::filesystem::exists(path));
}

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

// A writer that was killed half-way, and one that still writes.
TEST(WriteFileAtomically, RemovesWhatAKilledWriterLeftAndNothingElse) {
  const TemporaryFolder folder;
  write_file(folder / ".results.json.123-0.tmp", "half");
  write_file(folder / ".other.json.123-0.tmp", "half");
  write_file(folder / ".results.json.notes.tmp", "not ours");
  write_file(folder / ".results.json.124-0.tmp", "being written");
  const int writer = ::open((folder / ".results.json.124-0.tmp").c_str(), O_RDONLY);
  ASSERT_EQ(::flock(writer, LOCK_EX), 0);
  ASSERT_TRUE(write_file_atomically(folder / "results.json", "whole").ok());
  EXPECT_FALSE(std::filesystem::exists(folder / ".results.json.123-0.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / ".other.json.123-0.tmp")) << "of another file";
  EXPECT_TRUE(std::filesystem::exists(folder / ".results.json.notes.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / ".results.json.124-0.tmp"));
  ::close(writer);
  remove_leftovers(folder.path());
  EXPECT_EQ(folder.entries(), 2U) << "results.json and what is not ours";
}

TEST(WriteFileAtomically, ReplacesALinkAndLeavesWhatItPointsTo) {
  const TemporaryFolder folder;
  write_file(folder / "elsewhere", "kept");
  std::filesystem::create_symlink(folder / "elsewhere", folder / "results.json");
  ASSERT_TRUE(write_file_atomically(folder / "results.json", "new").ok());
  EXPECT_EQ(read_file(folder / "elsewhere"), "kept");
  EXPECT_FALSE(std::filesystem::is_symlink(folder / "results.json"));
}

TEST(MoveIntoPlace, MovesFilesAndFoldersAndNoLinksOrFifos) {
  const TemporaryFolder folder;
  write_file(folder / "part", "x");
  write_file(folder / "parts" / "one", "x");
  EXPECT_TRUE(move_into_place(folder / "part", folder / "whole").ok());
  EXPECT_TRUE(move_into_place(folder / "parts", folder / "wholes").ok());
  EXPECT_EQ(read_file(folder / "wholes" / "one"), "x");
  std::filesystem::create_symlink(folder / "whole", folder / "link");
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  for (const char* const name : {"link", "fifo", "missing"}) {
    const auto moved = move_into_place(folder / name, folder / "target");
    ASSERT_FALSE(moved.ok()) << name;
    EXPECT_EQ(moved.error().place, (folder / name).string());
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "target"));
}

}  // namespace
}  // namespace bulkhead::store
