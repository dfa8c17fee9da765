// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/packed_file.h"

#include "random_matrix.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <fstream>

namespace bulkhead::engines::llama::kernels {
namespace {

using testing::kAllFormats;
using testing::name_of;
using testing::random_weights;

struct Named {
  std::string name;
  MatrixShape shape;
  std::vector<std::uint8_t> packed;
};

class PackedFiles : public ::testing::Test {
 protected:
  PackedFiles() {
    write_model("a model");
    for (const auto format : kAllFormats) add(name_of(format), {format, 37, 512});
    add("of two pieces", {WeightFormat::kF32, 2048, 600});
  }

  void write_model(const std::string& text) { std::ofstream(model_) << text; }
  void add(const std::string& name, const MatrixShape& shape) {
    const auto from = random_weights(shape, random_);
    Named named{name, shape, std::vector<std::uint8_t>(packed_bytes(shape))};
    testing::PackedMatrix packed(shape, from);
    std::copy_n(packed.aligned(), named.packed.size(), named.packed.begin());
    matrices_.push_back(std::move(named));
  }

  [[nodiscard]] std::unique_ptr<PackedFile> open() const { return PackedFile::open(folder_, model_, 1); }
  void keep_all() const {
    const auto file = open();
    ASSERT_NE(file, nullptr);
    for (const auto& one : matrices_) file->keep(one.name, one.shape, one.packed.data(), 2);
    EXPECT_TRUE(file->finish());
  }
  // How many matrices come back as they were. One that is said to be right and is not fails.
  [[nodiscard]] std::size_t read_all(int threads) const {
    const auto file = open();
    std::size_t right = 0;
    for (const auto& one : matrices_) {
      std::vector<std::uint8_t> room(one.packed.size());
      if (file == nullptr || !file->read(one.name, one.shape, room.data(), threads)) continue;
      EXPECT_EQ(room, one.packed) << one.name;
      ++right;
    }
    return right;
  }
  // Those with the suffix, and those unfinished.
  [[nodiscard]] std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> all;
    if (!std::filesystem::exists(folder_)) return all;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) all.push_back(entry.path());
    return all;
  }
  static void flip(const std::filesystem::path& file, std::uint64_t at) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(at));
    const auto byte = static_cast<char>(stream.get() ^ 0x10);
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(byte);
  }

  std::mt19937 random_{20261129};
  testing::TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_ / "packed";
  std::filesystem::path model_ = temporary_ / "model.gguf";
  std::vector<Named> matrices_;
};

TEST_F(PackedFiles, GiveBackWhatWasKept) {
  EXPECT_EQ(read_all(1), 0U);
  keep_all();
  ASSERT_EQ(files().size(), 1U);
  for (const int threads : {1, 2, 5}) EXPECT_EQ(read_all(threads), matrices_.size());
}

// The weights of a split model come from all its files.
TEST_F(PackedFiles, OfASplitModelHoldForAllItsParts) {
  model_ = temporary_ / "model-00001-of-00002.gguf";
  const auto second = temporary_ / "model-00002-of-00002.gguf";
  write_model("the first part");
  EXPECT_EQ(open(), nullptr) << "a part is missing";
  std::ofstream(second) << "the second part";
  keep_all();
  EXPECT_EQ(read_all(1), matrices_.size());
  std::filesystem::remove(second);
  std::ofstream(second) << "another 2nd part";
  EXPECT_EQ(read_all(1), 0U);
  keep_all();
  ASSERT_EQ(files().size(), 1U) << "what was of the model as it was before goes";
  // A part that changes while the model is loaded.
  const auto reading = open();
  std::ofstream(second) << "and yet another one";
  EXPECT_FALSE(reading->finish());
}

// In a cache of models the names are links, and what they lead to is named otherwise.
TEST_F(PackedFiles, OfASplitModelAreFoundThroughLinks) {
  std::ofstream(temporary_ / "blob1") << "one";
  std::ofstream(temporary_ / "blob2") << "two";
  model_ = temporary_ / "linked-00001-of-00002.gguf";
  std::filesystem::create_symlink("blob1", model_);
  std::filesystem::create_symlink("blob2", temporary_ / "linked-00002-of-00002.gguf");
  keep_all();
  EXPECT_EQ(read_all(1), matrices_.size());
  std::filesystem::remove(temporary_ / "blob2");
  std::ofstream(temporary_ / "blob2") << "two more";
  EXPECT_EQ(read_all(1), 0U);
}

TEST_F(PackedFiles, NoLinkIsFollowedAndNoFifoWaitedFor) {
  keep_all();
  const auto kept = files().at(0);
  std::filesystem::rename(kept, temporary_ / "elsewhere");
  std::filesystem::create_symlink(temporary_ / "elsewhere", kept);
  EXPECT_EQ(read_all(1), 0U) << "a link to a good one";
  std::filesystem::remove(kept);
  ASSERT_EQ(::mkfifo(kept.c_str(), 0600), 0);
  EXPECT_EQ(read_all(1), 0U);
  keep_all();
  EXPECT_EQ(read_all(1), matrices_.size()) << "it was replaced";
  // Where the next one will be written: nothing elsewhere is emptied.
  const auto unfinished = folder_ / (".unfinished-" + kept.filename().string());
  std::filesystem::remove(kept);
  std::ofstream(temporary_ / "precious") << "precious";
  std::filesystem::create_symlink(temporary_ / "precious", unfinished);
  EXPECT_EQ(open(), nullptr);
  EXPECT_EQ(std::filesystem::file_size(temporary_ / "precious"), 8U);
}

TEST_F(PackedFiles, AnUnknownMatrixOrShapeIsNotRead) {
  keep_all();
  std::vector<std::uint8_t> room(packed_bytes({WeightFormat::kF32, 2048, 600}));
  EXPECT_FALSE(open()->read("no such", matrices_[0].shape, room.data(), 1));
  // Not a file of this program any more: it is made anew.
  EXPECT_TRUE(files().empty());
  keep_all();
  auto shape = matrices_[0].shape;
  shape.rows -= 1;
  EXPECT_FALSE(open()->read(matrices_[0].name, shape, room.data(), 1));
}

// Wherever the damage is, no wrong byte is given out, and the next start has a whole file again.
TEST_F(PackedFiles, DamageIsFoundWhereverItIs) {
  keep_all();
  const auto size = std::filesystem::file_size(files().at(0));
  std::vector<std::uint64_t> places;
  for (std::uint64_t i = 0; i < 20; ++i) places.push_back(size * i / 20);
  for (std::uint64_t i = 0; i < 20; ++i) places.push_back(size - 1 - 13 * i);  // the trailer, and the end of the index
  for (const auto at : places) {
    ASSERT_EQ(files().size(), 1U);
    flip(files()[0], at);
    EXPECT_LT(read_all(2), matrices_.size()) << at;
    keep_all();
    ASSERT_EQ(read_all(2), matrices_.size()) << at;
  }
}

TEST_F(PackedFiles, ACutFileIsNotRead) {
  keep_all();
  const auto size = std::filesystem::file_size(files().at(0));
  for (const std::uint64_t left : {std::uint64_t{0}, std::uint64_t{10}, size / 2, size - 1}) {
    std::filesystem::resize_file(files().at(0), left);
    EXPECT_EQ(read_all(2), 0U) << left;
    keep_all();
    ASSERT_EQ(read_all(2), matrices_.size()) << left;
  }
}

TEST_F(PackedFiles, AChangedModelGetsANewOne) {
  keep_all();
  const auto old = files().at(0);
  write_model("another model");
  EXPECT_EQ(read_all(1), 0U);
  keep_all();
  ASSERT_EQ(files().size(), 1U);
  EXPECT_NE(files()[0], old);
}

TEST_F(PackedFiles, GoWithTheirModel) {
  keep_all();
  const auto first = model_;
  model_ = temporary_ / "second.gguf";
  write_model("a second model");
  keep_all();
  EXPECT_EQ(files().size(), 2U);
  std::filesystem::remove(first);
  std::filesystem::last_write_time(model_, std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  keep_all();
  EXPECT_EQ(files().size(), 1U);
}

TEST_F(PackedFiles, WhatIsNotFinishedIsNotThere) {
  {
    const auto file = open();
    file->keep(matrices_[0].name, matrices_[0].shape, matrices_[0].packed.data(), 1);
    EXPECT_EQ(files().size(), 1U);
  }
  EXPECT_TRUE(files().empty());
  const auto file = open();
  file->keep(matrices_[0].name, matrices_[0].shape, matrices_[0].packed.data(), 1);
  write_model("changed while it was loaded");
  EXPECT_FALSE(file->finish());
  EXPECT_TRUE(files().empty());
}

TEST_F(PackedFiles, AModelChangedWhileItIsReadIsToldOf) {
  keep_all();
  const auto file = open();
  std::vector<std::uint8_t> room(matrices_[0].packed.size());
  EXPECT_TRUE(file->read(matrices_[0].name, matrices_[0].shape, room.data(), 1));
  EXPECT_TRUE(file->finish());
  write_model("changed while it was loaded");
  EXPECT_FALSE(file->finish());
}

// Several processes that start at once do not all write.
TEST_F(PackedFiles, OneWritesAtATime) {
  auto first = open();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(open(), nullptr);
  for (const auto& one : matrices_) first->keep(one.name, one.shape, one.packed.data(), 2);
  EXPECT_TRUE(first->finish());
  EXPECT_EQ(read_all(2), matrices_.size());
}

// What a killed process left is in nobody's way.
TEST_F(PackedFiles, AnUnfinishedOneOfAKilledProcessIsWrittenAnew) {
  keep_all();
  const auto file = files().at(0);
  const auto unfinished = folder_ / (".unfinished-" + file.filename().string());
  std::filesystem::rename(file, unfinished);
  std::ofstream(unfinished, std::ios::app) << "what it did not finish";
  keep_all();
  EXPECT_EQ(files(), std::vector{file});
  EXPECT_EQ(read_all(2), matrices_.size());
}

TEST_F(PackedFiles, OldUnfinishedOnesAreSweptUp) {
  std::filesystem::create_directory(folder_);
  const auto hour = std::chrono::hours(1);
  for (const auto& [name, age] : {std::pair(".unfinished-killed", 48 * hour), std::pair(".unfinished-running", hour)}) {
    std::ofstream(folder_ / name) << "x";
    std::filesystem::last_write_time(folder_ / name, std::filesystem::file_time_type::clock::now() - age);
  }
  std::ofstream(folder_ / "somebody's.txt") << "x";
  keep_all();
  EXPECT_FALSE(std::filesystem::exists(folder_ / ".unfinished-killed"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / ".unfinished-running"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "somebody's.txt"));
}

TEST_F(PackedFiles, SmallModelsAndFoldersThatAreNoneAreLeftAlone) {
  EXPECT_EQ(PackedFile::open(folder_, model_), nullptr);
  EXPECT_EQ(PackedFile::open(folder_, temporary_ / "no such model", 1), nullptr);
  EXPECT_EQ(PackedFile::open(model_, model_, 1), nullptr);
  EXPECT_TRUE(files().empty());
}

TEST_F(PackedFiles, AFullDiskKeepsNothing) {
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  auto lower = limit;
  lower.rlim_cur = 100000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &lower), 0);
  keep_all();
  EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  static_cast<void>(std::signal(SIGXFSZ, before));
  EXPECT_TRUE(files().empty());
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
