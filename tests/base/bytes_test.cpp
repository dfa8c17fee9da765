// SPDX-License-Identifier: MIT
#include "base/bytes.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace bulkhead {
namespace {

TEST(Bytes, ComeBackAsTheyWereWritten) {
  ByteWriter writer;
  writer.number(std::uint32_t{7});
  writer.number(-2.5);
  const std::vector<std::int32_t> numbers = {1, -2, 3};
  writer.list(std::span(numbers));
  writer.text("text");
  const auto bytes = std::move(writer).take();
  EXPECT_EQ(bytes.size(), 4U + 8U + 12U + 4U);
  EXPECT_EQ(bytes[0], std::byte{7}) << "little-endian";
  ByteReader reader(bytes);
  EXPECT_EQ(reader.number<std::uint32_t>(), 7U);
  EXPECT_EQ(reader.number<double>(), -2.5);
  EXPECT_EQ(reader.list<std::int32_t>(3), numbers);
  EXPECT_EQ(reader.text(4), "text");
  EXPECT_EQ(reader.left(), 0U);
  EXPECT_FALSE(reader.failed());
}

TEST(Bytes, ReadingBeyondTheEndFailsForGood) {
  const std::vector<std::byte> bytes(6);
  ByteReader reader(bytes);
  EXPECT_EQ(reader.number<std::uint64_t>(), 0U);
  EXPECT_TRUE(reader.failed());
  EXPECT_TRUE(reader.bytes(1).empty()) << "also what would be there";
  ByteReader huge(bytes);
  EXPECT_TRUE(huge.list<double>(SIZE_MAX).empty()) << "a count that overflows allocates nothing";
  EXPECT_TRUE(huge.failed());
}

}  // namespace
}  // namespace bulkhead
