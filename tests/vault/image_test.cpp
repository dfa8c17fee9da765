// SPDX-License-Identifier: MIT
// Image files and exports as anybody may have left them: whatever was done to one, it is refused with a reason.
#include "vault/image.h"

#include "json_of.h"
#include "temporary_folder.h"
#include "vault/made_partition.h"
#include "vault/transfer.h"
#include "vault/vault.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>

namespace bulkhead::vault {
namespace {

using testing::made_fit;
using testing::made_partition;
using testing::made_tokens;
using testing::read_file;
using testing::TemporaryFolder;
using testing::write_file;

constexpr std::size_t kFixed = 64;

// Of a store with one image.
struct OneImage {
  TemporaryFolder folder;
  HexName owner = HexName::of("alice");
  HexName name = HexName::of("");
  std::filesystem::path file;

  OneImage() {
    auto vault = Vault::open({.folder = folder / "vault"}).value();
    name = vault.save("alice", made_partition("p", made_tokens(200, 1))).value().name;
    file = folder / "vault" / "owners" / owner.text() / "images" / name.text();
  }
  [[nodiscard]] Shelf shelf() const { return Shelf::open(folder / "vault").value(); }
  [[nodiscard]] std::filesystem::path piece(std::size_t i) const {
    const auto image = shelf().image(owner, name).value();
    return folder / "vault" / "owners" / owner.text() / "pieces" / image.pieces[i].name.text();
  }
};

// As a forger would leave it, who computes the digest anew.
std::string with_digest(std::string body) {
  const auto digest = xxh3_128(std::as_bytes(std::span(body)));
  return body.append(reinterpret_cast<const char*>(digest.data()), digest.size());
}

std::string without_digest(std::string bytes) {
  bytes.resize(bytes.size() - 16);
  return bytes;
}

std::string with_number(std::string body, std::size_t at, auto number) {
  std::memcpy(&body[at], &number, sizeof(number));
  return body;
}

TEST(VaultImage, ComesBackAsItWas) {
  const OneImage one;
  const auto bytes = read_file(one.file);
  const auto image = image_from(bytes);
  ASSERT_TRUE(image.ok()) << image.error().to_string();
  EXPECT_EQ(image_bytes(image.value()), bytes);
  EXPECT_EQ(image->key.owner(), "alice");
  EXPECT_EQ(image->key.partition(), "p");
  EXPECT_EQ(image->key.fit(), made_fit());
  EXPECT_EQ(image->pieces.size(), 4U) << "what stands in front of the cells, and three pages";
}

TEST(VaultImage, EveryBitOfItsFixedPartCounts) {
  const OneImage one;
  const auto body = without_digest(read_file(one.file));
  for (std::size_t bit = 0; bit < 8 * kFixed; ++bit) {
    auto flipped = body;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(image_from(with_digest(flipped)).ok()) << bit;
  }
  for (std::size_t at = 16; at < kFixed; at += 8) {
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1} << 20U, std::uint64_t{1} << 61U,
                                      ~std::uint64_t{0}, (~std::uint64_t{0}) / 48, std::uint64_t{1} << 63U}) {
      EXPECT_FALSE(image_from(with_digest(with_number(body, at, value))).ok()) << at << " " << value;
    }
  }
}

TEST(VaultImage, ANewerVersionIsRefusedByItsNumber) {
  const OneImage one;
  const auto newer = with_digest(with_number(without_digest(read_file(one.file)), 8, std::uint32_t{2}));
  const auto refused = image_from(newer);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBadInput);
  EXPECT_NE(refused.error().message.find("version 2"), std::string::npos) << refused.error().message;
}

TEST(VaultImage, EveryMemberOfItsBooksCounts) {
  const OneImage one;
  const auto body = without_digest(read_file(one.file));
  std::uint64_t books_bytes = 0;
  std::memcpy(&books_bytes, &body[24], sizeof(books_bytes));
  const auto books = testing::json_of(body.substr(kFixed, books_bytes));
  const auto refused_with = [&](const Json& changed) {
    auto text = json_text(changed, JsonForm::kAscii);
    auto file = with_number(body.substr(0, kFixed), 24, std::uint64_t{text.size()});
    file += text + body.substr(kFixed + books_bytes);
    file = with_number(file, 16, std::uint64_t{file.size() + 16});
    write_file(one.file, with_digest(file));
    return !one.shelf().image(one.owner, one.name).ok();
  };
  EXPECT_FALSE(refused_with(books)) << "as it was";
  for (const auto& [member, value] : books.items()) {
    auto changed = books;
    changed[member] = value.is_string() ? Json(5) : Json("other");
    // The finished output is any text.
    if (member != "finished_text") {
      EXPECT_TRUE(refused_with(changed)) << member;
    }
    changed = books;
    changed.erase(member);
    if (member != "finished_text" && member != "surplus") {
      EXPECT_TRUE(refused_with(changed)) << member;
    }
  }
  for (const auto& [field, value] : books["fit"].items()) {
    auto changed = books;
    changed["fit"][field] = value.get<std::string>() + "x";
    EXPECT_TRUE(refused_with(changed)) << field << " is part of its name";
  }
  for (const auto* member : {"prefilled_tokens", "reused_tokens", "generated_tokens", "removed_tokens"}) {
    auto changed = books;
    changed["ledger"][member] = changed["ledger"][member].get<std::uint64_t>() + 1;
    EXPECT_TRUE(refused_with(changed)) << member;
  }
  auto changed = books;
  changed["more"] = 1;
  EXPECT_TRUE(refused_with(changed));
}

TEST(VaultImage, AThousandFlippedBitsAreFound) {
  const OneImage one;
  std::mt19937 random(5);
  std::vector<std::filesystem::path> files = {one.file};
  for (std::size_t i = 0; i < 4; ++i) files.push_back(one.piece(i));
  const auto shelf = one.shelf();
  ASSERT_TRUE(verify(shelf, one.owner, one.name).ok());
  for (int i = 0; i < 1000; ++i) {
    const auto& path = files[random() % files.size()];
    const auto whole = read_file(path);
    auto flipped = whole;
    flipped[random() % flipped.size()] ^= static_cast<char>(1U << (random() % 8));
    write_file(path, flipped);
    const auto found = verify(shelf, one.owner, one.name);
    ASSERT_FALSE(found.ok()) << i;
    EXPECT_FALSE(found.error().message.empty());
    const auto image = shelf.image(one.owner, one.name);
    EXPECT_FALSE(image.ok() && cells_of(shelf, image.value(), made_fit()).ok()) << i;
    write_file(path, whole);
  }
  EXPECT_TRUE(verify(shelf, one.owner, one.name).ok());
}

TEST(VaultImage, CutAndGrownFilesAreFound) {
  const OneImage one;
  const auto shelf = one.shelf();
  for (const auto& path : {one.file, one.piece(0), one.piece(2)}) {
    const auto whole = read_file(path);
    for (const auto size : {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{63},
                            whole.size() / 2, whole.size() - 1}) {
      write_file(path, whole.substr(0, std::min(size, whole.size() - 1)));
      EXPECT_FALSE(verify(shelf, one.owner, one.name).ok()) << path << " " << size;
    }
    write_file(path, whole + "x");
    EXPECT_FALSE(verify(shelf, one.owner, one.name).ok()) << path;
    write_file(path, whole);
  }
  ASSERT_TRUE(std::filesystem::remove(one.piece(1)));
  EXPECT_FALSE(verify(shelf, one.owner, one.name).ok());
}

TEST(VaultImage, RightDigestsAroundForgedBytes) {
  const OneImage one;
  std::mt19937 random(6);
  const auto body = without_digest(read_file(one.file));
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    auto changed = body;
    for (auto changes = 1 + random() % 4; changes > 0; --changes) {
      changed[random() % changed.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) changed.resize(random() % changed.size());
    write_file(one.file, with_digest(changed));
    if (!verify(one.shelf(), one.owner, one.name).ok()) ++refused;
  }
  // What is left are times, receipts and the finished text, which nothing contradicts.
  EXPECT_GT(refused, 1500);
}

TEST(VaultImage, AFewBytesDoNotAskForMuchMemory) {
  const OneImage one;
  auto image = one.shelf().image(one.owner, one.name).value();
  image.pieces = std::vector<Piece>(100'000, Piece(image.pieces.front()));
  EXPECT_TRUE(repeats_too_much(image));
  EXPECT_FALSE(image_from(image_bytes(image)).ok());
}

TEST(VaultExport, ComesBackInAnotherVault) {
  const OneImage one;
  const auto file = one.folder / "export";
  const auto written = export_image(one.shelf(), one.owner, one.name, file);
  ASSERT_TRUE(written.ok()) << written.error().to_string();
  auto other = Vault::open({.folder = one.folder / "other"}).value();
  const auto saved = import_image(other, file);
  ASSERT_TRUE(saved.ok()) << saved.error().to_string();
  EXPECT_EQ(saved->name, one.name);
  EXPECT_TRUE(verify(other.shelf(), one.owner, one.name).ok());
  const auto loaded = other.load(one.owner, one.name, made_fit());
  ASSERT_TRUE(loaded.ok());
  testing::expect_same_partition(loaded->partition, made_partition("p", made_tokens(200, 1)));
  EXPECT_EQ(export_image(one.shelf(), one.owner, one.name, file).error().code, ErrorCode::kUsage) << "it is there";
}

TEST(VaultExport, DamagedOnesAreRefusedAndLeaveNothing) {
  const OneImage one;
  const auto file = one.folder / "export";
  ASSERT_TRUE(export_image(one.shelf(), one.owner, one.name, file).ok());
  const auto whole = read_file(file);
  auto other = Vault::open({.folder = one.folder / "other"}).value();
  std::mt19937 random(7);
  const auto refused = [&](const std::string& bytes) {
    write_file(file, bytes);
    return !import_image(other, file).ok();
  };
  for (int i = 0; i < 200; ++i) {
    auto flipped = whole;
    flipped[random() % flipped.size()] ^= static_cast<char>(1U << (random() % 8));
    EXPECT_TRUE(refused(flipped)) << i;
    EXPECT_TRUE(refused(whole.substr(0, random() % whole.size()))) << i;
  }
  EXPECT_TRUE(refused(whole + "x"));
  EXPECT_TRUE(other.images().value().empty());
  EXPECT_EQ(other.bytes().value(), 0U);
  EXPECT_TRUE(other.shelf().names(one.owner, Kind::kPieces).value().empty());
}

}  // namespace
}  // namespace bulkhead::vault
