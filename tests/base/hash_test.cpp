// SPDX-License-Identifier: MIT
#include "base/hash.h"

#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace bulkhead {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

// Vectors of FIPS 180-4 as published by NIST.
TEST(Sha256, GivesTheKnownSums) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesMakeTheSameSumAsTheWhole) {
  const std::string text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 hash;
    hash.update(std::string_view(text).substr(0, cut));
    hash.update(std::string_view(text).substr(cut));
    EXPECT_EQ(hash.hex(), sha256_hex(text));
  }
}

TEST(Sha256, TokensAreFourBytesLittleEndian) {
  const std::vector<std::int32_t> tokens = {1, 0x01020304, -1};
  const std::string bytes("\x01\x00\x00\x00\x04\x03\x02\x01\xFF\xFF\xFF\xFF", 12);
  EXPECT_EQ(sha256_of_tokens(tokens), sha256_hex(bytes));
  EXPECT_EQ(sha256_of_tokens({}), sha256_hex(""));
}

TEST(Sha256, AFileIsReadToItsEndWithProgress) {
  const TemporaryFolder folder;
  const std::string content(3'000'001, 'x');
  write_file(folder / "file", content);
  std::uint64_t last = 0;
  const auto sum = sha256_of_file(folder / "file", [&](std::uint64_t done) {
    EXPECT_GE(done, last);
    last = done;
  });
  ASSERT_TRUE(sum.ok());
  EXPECT_EQ(*sum, sha256_hex(content));
  EXPECT_EQ(last, content.size());
}

TEST(Sha256, AFileThatCannotBeReadIsAnErrorAndNotAnEmptyOne) {
  const TemporaryFolder folder;
  for (const auto& path : {folder / "missing", folder.path()}) {
    const auto sum = sha256_of_file(path);
    ASSERT_FALSE(sum.ok()) << path;
    EXPECT_EQ(sum.error().code, ErrorCode::kResource);
    EXPECT_EQ(sum.error().place, path.string());
  }
}

// XXH3_64bits with seed 0, as its reference implementation gives it.
TEST(Xxh3, GivesTheKnownSums) {
  EXPECT_EQ(xxh3_64({}), 0x2D06800538D394C2ULL);
  const std::string text = "abc";
  EXPECT_EQ(xxh3_64(std::as_bytes(std::span(text))), 0x78AF5F94892F3950ULL);
}

TEST(Xxh3, OneBitMovesIt) {
  std::array<std::byte, 64> bytes{};
  const auto before = xxh3_64(bytes);
  bytes[40] = std::byte{1};
  EXPECT_NE(xxh3_64(bytes), before);
}

TEST(Hash, Xxh3OfAFileIsThatOfItsBytes) {
  std::string text(3U << 20U, 'a');
  text += "end";
  std::istringstream file(text);
  const auto hash = xxh3_64_of_file(file);
  ASSERT_TRUE(hash.ok());
  EXPECT_EQ(hash.value(), xxh3_64(std::as_bytes(std::span(text))));
  EXPECT_EQ(xxh3_64_of_file(file).value(), hash.value()) << "a second time from the beginning";
  std::ifstream missing("no such file");
  EXPECT_EQ(xxh3_64_of_file(missing).error().code, ErrorCode::kResource);
}

TEST(Hash, Xxh3128IsThePublishedOne) {
  // XXH3_128bits of no bytes, canonical: 99aa06d3014798d8 6001c324468d497f.
  const auto digest = xxh3_128({});
  EXPECT_EQ(digest[0], std::byte{0x99});
  EXPECT_EQ(digest[7], std::byte{0xd8});
  EXPECT_EQ(digest[8], std::byte{0x60});
  EXPECT_EQ(digest[15], std::byte{0x7f});
}

}  // namespace
}  // namespace bulkhead
