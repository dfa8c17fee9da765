// SPDX-License-Identifier: MIT
#include "models/known_sums.h"

#include "models/model_files.h"
#include "models/pull_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;
using testing::read_file;
using testing::write_file;

class KnownSums : public PullTest {
 protected:
  // Of a size whose sum is kept.
  const std::string one_ = model_bytes(3 << 20);
  const std::string two_ = "GGUF" + std::string(one_.size() - 4, '2');
  fs::path model_ = folder_ / "m.gguf";
  int hashed_ = 0;

  [[nodiscard]] std::string sum() {
    hashed_ = 0;
    const auto known = sum_of_file(model_, [&](std::uint64_t) { ++hashed_; });
    return known.ok() ? known->sha256 : known.error().to_string();
  }
};

TEST_F(KnownSums, AreKeptUntilTheFileChanges) {
  write_file(model_, one_);
  EXPECT_EQ(sum(), sha256_hex(one_));
  EXPECT_GT(hashed_, 0);
  EXPECT_EQ(sum(), sha256_hex(one_));
  EXPECT_EQ(hashed_, 0);
  EXPECT_FALSE(sum_of_file(model_)->verified) << "nobody promised one";
  write_file(model_, two_);
  EXPECT_EQ(sum(), sha256_hex(two_));
  EXPECT_GT(hashed_, 0);
}

// Whoever changes a file can put its time of change back.
TEST_F(KnownSums, ATimeThatWasPutBackDeceivesNobody) {
  write_file(model_, one_);
  EXPECT_EQ(sum(), sha256_hex(one_));
  struct stat before {};
  ASSERT_EQ(::stat(model_.c_str(), &before), 0);
  {
    std::fstream file(model_, std::ios::binary | std::ios::in | std::ios::out);
    file << two_;
  }
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, model_.c_str(), times, 0), 0);
  struct stat after {};
  ASSERT_EQ(::stat(model_.c_str(), &after), 0);
  ASSERT_EQ(after.st_ino, before.st_ino);
  ASSERT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(sum(), sha256_hex(two_));
}

TEST_F(KnownSums, AFileBesideTheModelIsNotBelieved) {
  write_file(model_, one_);
  const auto changed = fs::last_write_time(model_).time_since_epoch().count();
  // What earlier versions of Bulkhead wrote there, and what sha256sum writes.
  for (const auto& forged : {fmt::format(R"({{"sha256": "{}", "verified": true, "bytes": {}, "changed": {}}})",
                                         std::string(64, '0'), one_.size(), changed),
                             std::string(64, '0') + "  m.gguf\n"}) {
    write_file(folder_ / "m.gguf.sha256", forged);
    EXPECT_EQ(sum(), sha256_hex(one_));
    EXPECT_FALSE(model_verified(model_));
    const auto pulled = pull({PullRequest::Kind::kNameOrFile, model_.string()}, environment_);
    ASSERT_TRUE(pulled.ok());
    EXPECT_FALSE(pulled->verified);
    EXPECT_EQ(read_file(folder_ / "m.gguf.sha256"), forged) << "it is not ours";
  }
}

TEST_F(KnownSums, AreOfTheFileNotOfItsName) {
  write_file(model_, one_);
  keep_sum(model_, {sha256_hex(one_), true});
  EXPECT_TRUE(sum_of_file(model_)->verified);
  write_file(folder_ / "other.gguf", two_);
  fs::rename(folder_ / "other.gguf", model_);
  EXPECT_EQ(sum(), sha256_hex(two_));
  EXPECT_FALSE(sum_of_file(model_)->verified);
}

TEST_F(KnownSums, ALinkIsItsFileAndAFifoIsNotWaitedFor) {
  write_file(folder_ / "file.gguf", one_);
  fs::create_symlink(folder_ / "file.gguf", model_);
  EXPECT_EQ(sum(), sha256_hex(one_));
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(sum_of_file(folder_ / "fifo").error().code, ErrorCode::kResource);
  EXPECT_EQ(sum_of_file(folder_.path()).error().code, ErrorCode::kResource);
  EXPECT_EQ(sum_of_file(folder_ / "none").error().code, ErrorCode::kResource);
}

// A damaged note, or a link or FIFO in its place, costs time only.
TEST_F(KnownSums, NotesThatAreNoneArePassedOver) {
  write_file(model_, one_);
  EXPECT_EQ(sum(), sha256_hex(one_));
  const auto folder = folder_ / "cache/bulkhead/sums";
  ASSERT_FALSE(fs::is_empty(folder));
  const auto note = fs::directory_iterator(folder)->path();
  const auto good = read_file(note);
  for (const std::string& damaged : {std::string(), std::string("{}"), good.substr(0, good.size() / 2),
                                     std::string("[1, 2]"), std::string(10000, '[')}) {
    write_file(note, damaged);
    EXPECT_EQ(sum(), sha256_hex(one_));
    EXPECT_GT(hashed_, 0);
  }
  fs::remove(note);
  ASSERT_EQ(::mkfifo(note.c_str(), 0600), 0);
  EXPECT_EQ(sum(), sha256_hex(one_));
  write_file(folder_ / "forged.json", good);
  fs::remove(note);
  fs::create_symlink(folder_ / "forged.json", note);
  EXPECT_EQ(sum(), sha256_hex(one_));
  EXPECT_GT(hashed_, 0) << "a link is not followed";
}

TEST_F(KnownSums, TheOldestNotesGo) {
  const auto folder = folder_ / "cache/bulkhead/sums";
  for (int i = 0; i < 600; ++i) write_file(folder / fmt::format("{}.json", i), "{}");
  write_file(model_, one_);
  EXPECT_EQ(sum(), sha256_hex(one_));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 512);
  EXPECT_EQ(sum(), sha256_hex(one_));
  EXPECT_EQ(hashed_, 0) << "the newest stays";
}

}  // namespace
}  // namespace bulkhead::models
