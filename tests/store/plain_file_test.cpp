// SPDX-License-Identifier: MIT
#include "store/plain_file.h"

#include "base/hash.h"
#include "store/file_lock.h"
#include "temporary_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

namespace bulkhead::store {
namespace {

using bulkhead::testing::read_file;
using bulkhead::testing::TemporaryFolder;
using bulkhead::testing::write_file;
using ::testing::HasSubstr;

// A folder with one of everything that is no plain file.
class NoPlainFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file(folder_ / "file", "kept");
    std::filesystem::create_directory(folder_ / "folder");
    std::filesystem::create_symlink(folder_ / "file", folder_ / "link");
    std::filesystem::create_symlink(folder_ / "nowhere", folder_ / "dangling");
    ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto path = (folder_ / "socket").string();
    std::copy(path.begin(), path.end(), std::begin(address.sun_path));
    ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(socket);
  }
  TemporaryFolder folder_;
  static constexpr const char* kNames[] = {"folder", "link", "dangling", "fifo", "socket"};
};

TEST_F(NoPlainFiles, AreNeitherReadNorWaitedFor) {
  for (const auto& path : {folder_ / "folder", folder_ / "link", folder_ / "dangling", folder_ / "fifo",
                           folder_ / "socket", std::filesystem::path("/dev/zero")}) {
    for (const auto& error : {read_plain_file(path, 1000).error(), sha256_of_plain_file(path).error(),
                              open_plain_file(path, O_WRONLY).error()}) {
      EXPECT_EQ(error.code, ErrorCode::kResource) << path;
      EXPECT_EQ(error.place, path.string());
    }
  }
}

TEST_F(NoPlainFiles, AreNotLocked) {
  for (const char* const name : kNames) {
    const auto lock = FileLock::try_acquire(folder_ / name);
    ASSERT_FALSE(lock.ok()) << name;
    EXPECT_EQ(lock.error().code, ErrorCode::kResource) << name;
    EXPECT_FALSE(FileLock::acquire(folder_ / name).ok()) << name;
  }
  EXPECT_EQ(read_file(folder_ / "file"), "kept") << "the process id is not written through a link";
  EXPECT_FALSE(std::filesystem::exists(folder_ / "nowhere"));
}

TEST(PlainFile, IsReadWholeUpToItsLimit) {
  const TemporaryFolder folder;
  const std::string bytes(200'000, 'b');
  write_file(folder / "file", bytes);
  EXPECT_EQ(read_plain_file(folder / "file", 200'000).value(), bytes);
  EXPECT_EQ(sha256_of_plain_file(folder / "file").value(), sha256_hex(bytes));
  const auto over = read_plain_file(folder / "file", 199'999);
  ASSERT_FALSE(over.ok());
  EXPECT_EQ(over.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(over.error().message, HasSubstr("199999"));
  EXPECT_EQ(read_plain_file(folder / "missing", 1).error().code, ErrorCode::kBadInput);
}

}  // namespace
}  // namespace bulkhead::store
