// SPDX-License-Identifier: MIT
#include "conversation/input_text.h"

#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace bulkhead::conversation {
namespace {

using ::testing::HasSubstr;

class InputText : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    auto path = (folder_.path() / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(InputText, AFileIsReadWhole) {
  const std::string text = std::string("a\0\xff", 3) + std::string(200'000, 'x');
  EXPECT_EQ(read_input(write("file", text)).value(), text);
  EXPECT_EQ(read_input(write("empty", "")).value(), "");
}

TEST_F(InputText, AFifoIsReadToItsEnd) {
  const auto path = (folder_.path() / "fifo").string();
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const std::string text(300'000, 'x');
  std::thread writer([&] { std::ofstream(path) << text; });
  const auto read = read_input(path);
  writer.join();
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_TRUE(*read == text);
  EXPECT_FALSE(can_be_read_again(path));
}

TEST_F(InputText, TheLimitIsOfTheBytesReadNotOfTheSizeThatAFileHas) {
  EXPECT_TRUE(read_input(write("ten", "0123456789"), 10).ok());
  const auto refused = read_input(write("eleven", "0123456789a"), 10);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(refused.error().message, HasSubstr("the limit is 10"));
  EXPECT_FALSE(read_input("/dev/zero", 1U << 20U).ok()) << "a device has the size 0 and never ends";
}

TEST_F(InputText, WhatCannotBeReadIsNamed) {
  EXPECT_THAT(read_input((folder_.path() / "none").string()).error().message, HasSubstr("No such file"));
  EXPECT_THAT(read_input(folder_.path().string()).error().message, HasSubstr("directory"));
  EXPECT_EQ(read_input("/no/such/\xff").error().place, "/no/such/\xEF\xBF\xBD") << "a place is UTF-8";
}

TEST_F(InputText, NamesAndReadingAgain) {
  EXPECT_EQ(input_name("-"), "standard input");
  EXPECT_EQ(input_name("a/b.json"), "a/b.json");
  EXPECT_FALSE(can_be_read_again("-"));
  EXPECT_TRUE(can_be_read_again(write("file", "x")));
}

}  // namespace
}  // namespace bulkhead::conversation
