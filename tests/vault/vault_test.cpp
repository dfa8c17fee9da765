// SPDX-License-Identifier: MIT
// The store: what is shared, what goes first, who may read what, and what is refused.
#include "vault/vault.h"

#include "database/database.h"
#include "temporary_folder.h"
#include "vault/made_partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>

namespace bulkhead::vault {
namespace {

using ::testing::HasSubstr;
using testing::made_fit;
using testing::made_partition;
using testing::made_tokens;
using testing::read_file;
using testing::TemporaryFolder;
using testing::write_file;

const HexName kAlice = HexName::of("alice");
const HexName kBob = HexName::of("bob");

class VaultStore : public ::testing::Test {
 protected:
  Vault open(std::uint64_t budget = 0, std::uint64_t owner_bytes = 0) {
    auto opened = Vault::open(
        {.folder = place_, .budget_bytes = budget, .owner_bytes = owner_bytes, .clock = [this] { return now_; }});
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    return std::move(opened).value();
  }

  // A conversation of its own of 200 tokens: three pages.
  static SavedImage save(Vault& vault, const std::string& owner, const std::string& name, std::uint32_t seed,
                         std::size_t tokens = 200, std::size_t shared = 0) {
    const auto saved = vault.save(owner, made_partition(name, made_tokens(tokens, seed, shared)));
    EXPECT_TRUE(saved.ok()) << saved.error().to_string();
    return saved.ok() ? saved.value() : SavedImage{.name = HexName::of("")};
  }

  static std::vector<IndexedImage> images(Vault& vault) { return vault.images().value(); }

  static bool is_there(Vault& vault, const HexName& owner, const HexName& name) {
    return vault.load(owner, name, made_fit()).ok();
  }

  [[nodiscard]] std::filesystem::path file(const HexName& owner, const char* kind, const HexName& name) const {
    return place_ / "owners" / owner.text() / kind / name.text();
  }

  [[nodiscard]] std::uint64_t bytes_on_disk() const {
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place_ / "owners")) {
      if (entry.is_regular_file()) bytes += entry.file_size();
    }
    return bytes;
  }

  TemporaryFolder folder_;
  std::filesystem::path place_ = folder_ / "vault";
  std::int64_t now_ = 1'800'000'000;
};

TEST_F(VaultStore, GivesBackWhatWasPutIn) {
  const auto partition = made_partition("p", made_tokens(1000, 1));
  HexName name = HexName::of("");
  {
    auto vault = open();
    name = vault.save("alice", partition).value().name;
  }
  auto vault = open();
  const auto loaded = vault.load(kAlice, name, made_fit());
  ASSERT_TRUE(loaded.ok()) << loaded.error().to_string();
  EXPECT_EQ(loaded->why_no_cells, "");
  testing::expect_same_partition(loaded->partition, partition);
  const auto by_key = vault.load(ImageKey("alice", "p", made_tokens(1000, 1), made_fit()));
  ASSERT_TRUE(by_key.ok());
  testing::expect_same_partition(by_key->partition, partition);
  EXPECT_EQ(vault.load(ImageKey("alice", "p", made_tokens(999, 1), made_fit())).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(vault.bytes().value(), bytes_on_disk());
}

TEST_F(VaultStore, ForksOfOnePrefixStoreItOnce) {
  auto vault = open();
  const auto first = save(vault, "alice", "p", 1, 640, 320);
  EXPECT_EQ(first.shared_pieces, 0U);
  const auto fork = save(vault, "alice", "q", 2, 640, 320);
  EXPECT_EQ(fork.pieces, 11U);
  EXPECT_EQ(fork.shared_pieces, 6U) << "five pages, and what stands in front of them";
  EXPECT_EQ(save(vault, "bob", "q", 2, 640, 320).shared_pieces, 0U) << "nothing of another owner";
  ASSERT_TRUE(vault.remove(kAlice, first.name).ok());
  EXPECT_EQ(vault.load(kAlice, fork.name, made_fit())->why_no_cells, "");
  EXPECT_EQ(vault.bytes().value(), bytes_on_disk());
}

TEST_F(VaultStore, AnOlderImageOfThePartitionGoes) {
  auto vault = open();
  const auto first = save(vault, "alice", "p", 0, 320);
  const auto grown = save(vault, "alice", "p", 0, 640);
  EXPECT_EQ(grown.shared_pieces, 6U);
  EXPECT_FALSE(is_there(vault, kAlice, first.name));
  EXPECT_EQ(vault.load(kAlice, grown.name, made_fit())->why_no_cells, "");
  EXPECT_EQ(vault.images()->size(), 1U);
  EXPECT_EQ(vault.bytes().value(), bytes_on_disk());
}

TEST_F(VaultStore, CellsThatDoNotFitAreNamedAndTheTokensAreThere) {
  auto vault = open();
  const auto saved = save(vault, "alice", "p", 1);
  const auto other_model = vault.load(kAlice, saved.name, made_fit("another"));
  ASSERT_TRUE(other_model.ok());
  EXPECT_FALSE(other_model->partition.cells);
  EXPECT_THAT(other_model->why_no_cells, HasSubstr("model_digest"));
  EXPECT_EQ(other_model->partition.ledger.tokens.tokens, made_tokens(200, 1));
  EXPECT_THAT(vault.load(kAlice, saved.name, made_fit("0123456789abcdef", "q8_0"))->why_no_cells,
              HasSubstr("kv_type_k"));
  const auto image = vault.shelf().image(kAlice, saved.name).value();
  ASSERT_TRUE(std::filesystem::remove(file(kAlice, "pieces", image.pieces[2].name)));
  const auto incomplete = vault.load(kAlice, saved.name, made_fit());
  ASSERT_TRUE(incomplete.ok());
  EXPECT_FALSE(incomplete->partition.cells);
  EXPECT_THAT(incomplete->why_no_cells, HasSubstr("missing"));
  EXPECT_EQ(save(vault, "alice", "p", 1).shared_pieces, 3U) << "what is missing is written anew";
  EXPECT_EQ(vault.load(kAlice, saved.name, made_fit())->why_no_cells, "");
}

TEST_F(VaultStore, ADamagedPieceIsWrittenAnewByTheNextSave) {
  auto vault = open();
  const auto saved = save(vault, "alice", "p", 1);
  const auto image = vault.shelf().image(kAlice, saved.name).value();
  const auto path = file(kAlice, "pieces", image.pieces[1].name);
  auto bytes = read_file(path);
  bytes[100] ^= 1;
  write_file(path, bytes);
  EXPECT_THAT(vault.load(kAlice, saved.name, made_fit())->why_no_cells, HasSubstr("damaged"));
  EXPECT_EQ(save(vault, "alice", "p", 1).shared_pieces, 3U);
  EXPECT_TRUE(verify(vault.shelf(), kAlice, saved.name).ok());
}

TEST_F(VaultStore, NoOwnerReadsWhatAnotherHas) {
  auto vault = open();
  const auto saved = save(vault, "alice", "p", 1);
  save(vault, "bob", "own", 2);
  EXPECT_EQ(vault.load(kBob, saved.name, made_fit()).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(vault.load(ImageKey("bob", "p", made_tokens(200, 1), made_fit())).error().code, ErrorCode::kBadInput);
  // Somebody copies the file there.
  std::filesystem::copy_file(file(kAlice, "images", saved.name), file(kBob, "images", saved.name));
  const auto copied = vault.load(kBob, saved.name, made_fit());
  ASSERT_FALSE(copied.ok());
  EXPECT_EQ(copied.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(copied.error().message, HasSubstr("another owner"));
  // Or under another name.
  const auto other = HexName::of("other");
  std::filesystem::copy_file(file(kAlice, "images", saved.name), file(kAlice, "images", other));
  EXPECT_THAT(vault.load(kAlice, other, made_fit()).error().message, HasSubstr("not the one of its name"));
}

TEST_F(VaultStore, LinksAndOtherThingsAreNotRead) {
  auto vault = open();
  const auto saved = save(vault, "alice", "p", 1);
  const auto image = file(kAlice, "images", saved.name);
  const auto outside = folder_ / "outside";
  std::filesystem::rename(image, outside);
  std::filesystem::create_symlink(outside, image);
  EXPECT_THAT(vault.load(kAlice, saved.name, made_fit()).error().message, HasSubstr("symbolic link"));
  std::filesystem::remove(image);
  ASSERT_EQ(::mkfifo(image.c_str(), 0600), 0);
  EXPECT_EQ(vault.load(kAlice, saved.name, made_fit()).error().code, ErrorCode::kResource);
  std::filesystem::remove(image);
  std::filesystem::rename(outside, image);
  const auto pieces = place_ / "owners" / kAlice.text() / "pieces";
  std::filesystem::rename(pieces, folder_ / "moved");
  std::filesystem::create_directory_symlink(folder_ / "moved", pieces);
  EXPECT_NE(vault.load(kAlice, saved.name, made_fit())->why_no_cells, "");
  EXPECT_FALSE(vault.save("alice", made_partition("q", made_tokens(200, 3))).ok()) << "nothing is written through it";
  EXPECT_EQ(
      std::distance(std::filesystem::directory_iterator(folder_ / "moved"), std::filesystem::directory_iterator()), 4);
}

TEST_F(VaultStore, AnOwnerWhoseFolderIsALinkIsNobody) {
  HexName name = HexName::of("");
  {
    auto vault = open();
    name = save(vault, "alice", "p", 1).name;
    save(vault, "bob", "q", 2);
  }
  std::filesystem::rename(place_ / "owners" / kBob.text(), folder_ / "moved");
  std::filesystem::create_directory_symlink(folder_ / "moved", place_ / "owners" / kBob.text());
  auto vault = open();
  EXPECT_EQ(images(vault).size(), 1U);
  EXPECT_TRUE(is_there(vault, kAlice, name));
  EXPECT_TRUE(vault.collect_garbage().ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / "moved" / "pieces"),
                          std::filesystem::directory_iterator()),
            4)
      << "nothing is removed through it";
}

TEST_F(VaultStore, AFolderOfOtherThingsIsNoVault) {
  EXPECT_EQ(Shelf::open(place_).error().code, ErrorCode::kBadInput);
  write_file(place_ / "thesis.txt", "x");
  EXPECT_EQ(Vault::open({.folder = place_}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(Shelf::open(place_).error().code, ErrorCode::kBadInput);
  std::filesystem::remove(place_ / "thesis.txt");
  open();
  write_file(place_ / "bulkhead-vault", "bulkhead vault 2\n");
  EXPECT_EQ(Vault::open({.folder = place_}).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(Vault::open({.folder = place_ / "bulkhead-vault"}).error().code, ErrorCode::kResource);
}

TEST_F(VaultStore, OneProcessWrites) {
  const auto vault = open();
  const auto second = Vault::open({.folder = place_});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kResource);
  EXPECT_THAT(second.error().message, HasSubstr("locked by pid " + std::to_string(::getpid())));
  EXPECT_TRUE(Shelf::open(place_).ok()) << "others may read";
}

TEST_F(VaultStore, TheIndexIsMadeAnewFromTheFiles) {
  std::vector<HexName> names;
  std::uint64_t bytes = 0;
  {
    auto vault = open();
    for (std::uint32_t i = 0; i < 5; ++i) {
      names.push_back(save(vault, "alice", "p" + std::to_string(i), i, 320, 128).name);
    }
    bytes = vault.bytes().value();
  }
  const auto index = place_ / "index.sqlite";
  const auto whole = read_file(index);
  const std::vector<std::function<void()>> harms = {
      [&] { std::filesystem::remove(index); }, [&] { write_file(index, "no database at all, but long enough"); },
      [&] { write_file(index, whole.substr(0, whole.size() / 2)); }, [&] { write_file(index, ""); },
      [&] {
        std::filesystem::remove(index);
        auto other = database::Database::open(index).value();
        ASSERT_TRUE(other.run("CREATE TABLE image(x)").ok());
        ASSERT_TRUE(other.run("PRAGMA user_version=1").ok());
      }};
  for (std::size_t i = 0; i < harms.size(); ++i) {
    for (const auto* ending : {"-wal", "-shm"}) std::filesystem::remove(index.string() + ending);
    harms[i]();
    auto vault = open();
    EXPECT_EQ(vault.images()->size(), names.size()) << i;
    EXPECT_EQ(vault.bytes().value(), bytes) << i;
    for (const auto& name : names) EXPECT_EQ(vault.load(kAlice, name, made_fit())->why_no_cells, "") << i;
  }
  // One that names what is not there, and not what is.
  ASSERT_TRUE(std::filesystem::remove(file(kAlice, "images", names[0])));
  auto vault = open();
  EXPECT_EQ(vault.images()->size(), names.size() - 1);
  EXPECT_EQ(vault.bytes().value(), bytes_on_disk()) << "pieces of nobody went too";
}

TEST_F(VaultStore, AnIndexThatNamesPathsLeadsNowhere) {
  const auto outside = folder_ / "victim";
  write_file(outside, "x");
  { open(); }
  {
    auto index = database::Database::open(place_ / "index.sqlite").value();
    ASSERT_TRUE(index.run("INSERT INTO image VALUES('../../..', 'victim', 'p', 'i', 1, 1, 1.0, 0.0, 0)").ok());
  }
  auto vault = open();
  EXPECT_TRUE(images(vault).empty()) << "it was made anew";
  EXPECT_TRUE(std::filesystem::exists(outside));
}

TEST_F(VaultStore, WhatIsUsedLeastForItsBytesGoesFirst) {
  std::uint64_t each = 0;
  {
    auto vault = open();
    each = save(vault, "alice", "a", 1).written_bytes;
    save(vault, "alice", "b", 2);
    save(vault, "bob", "c", 3);
  }
  auto vault = open(3 * each + each / 2);
  const auto names = [&] {
    std::vector<std::string> found;
    for (const auto& image : images(vault)) {
      found.push_back(vault.shelf().image(image.owner, image.name)->key.partition());
    }
    std::sort(found.begin(), found.end());
    return found;
  };
  now_ += 10;
  EXPECT_EQ(save(vault, "alice", "d", 4).evicted, 1U);
  const auto after = names();
  EXPECT_EQ(after.size(), 3U);
  EXPECT_LE(bytes_on_disk(), 3 * each + each / 2);
  // What was used since stays when the next one comes.
  const auto used = std::find(after.begin(), after.end(), "d") == after.begin() ? after[1] : after[0];
  for (const auto& image : images(vault)) {
    if (vault.shelf().image(image.owner, image.name)->key.partition() == used) {
      ASSERT_TRUE(is_there(vault, image.owner, image.name));
    }
  }
  EXPECT_EQ(save(vault, "alice", "e", 5).evicted, 1U);
  EXPECT_THAT(names(), ::testing::Contains(used));
  EXPECT_EQ(vault.bytes().value(), bytes_on_disk());
}

TEST_F(VaultStore, TooMuchIsRefusedBeforeAnythingIsWritten) {
  auto vault = open(20'000);
  const auto small = save(vault, "alice", "small", 1, 64);
  const auto before = bytes_on_disk();
  const auto refused = vault.save("alice", made_partition("large", made_tokens(640, 2)));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResource);
  EXPECT_THAT(refused.error().message, HasSubstr("20000"));
  EXPECT_TRUE(is_there(vault, kAlice, small.name));
  EXPECT_EQ(bytes_on_disk(), before);
}

TEST_F(VaultStore, AnOwnerBeyondTheBudgetLosesItsOwnOnly) {
  auto vault = open(0, 40'000);
  const auto bobs = save(vault, "bob", "b", 1);
  for (std::uint32_t i = 0; i < 6; ++i) save(vault, "alice", "p" + std::to_string(i), i + 2);
  EXPECT_TRUE(is_there(vault, kBob, bobs.name));
  std::size_t alices = 0;
  for (const auto& image : images(vault)) alices += image.owner == kAlice ? 1U : 0U;
  EXPECT_LT(alices, 6U);
  EXPECT_GT(alices, 0U);
}

TEST_F(VaultStore, PinsHoldForTheirTimeAlsoIfTheClockGoesBack) {
  auto vault = open(60'000);
  const auto pinned = save(vault, "alice", "pinned", 1);
  ASSERT_TRUE(vault.pin(kAlice, pinned.name, 100).ok());
  for (std::uint32_t i = 0; i < 4; ++i) save(vault, "alice", "p" + std::to_string(i), i + 2);
  EXPECT_TRUE(is_there(vault, kAlice, pinned.name));
  now_ -= 3600;
  save(vault, "alice", "q", 9);
  EXPECT_TRUE(is_there(vault, kAlice, pinned.name)) << "the clock went back";
  now_ += 2 * 3600;
  for (std::uint32_t i = 0; i < 4; ++i) save(vault, "alice", "r" + std::to_string(i), i + 20);
  EXPECT_FALSE(is_there(vault, kAlice, pinned.name)) << "its time is over";
  const auto again = save(vault, "alice", "pinned", 1);
  ASSERT_TRUE(vault.pin(kAlice, again.name, 100).ok());
  now_ -= std::int64_t{3} * 365 * 24 * 3600;
  for (std::uint32_t i = 0; i < 4; ++i) save(vault, "alice", "s" + std::to_string(i), i + 40);
  EXPECT_FALSE(is_there(vault, kAlice, again.name)) << "no pin of this clock ends years from now";
  EXPECT_EQ(vault.pin(kAlice, again.name, 5).error().code, ErrorCode::kBadInput);
}

TEST_F(VaultStore, PinnedOnesAloneLeaveNoRoom) {
  auto vault = open(30'000);
  const auto pinned = save(vault, "alice", "pinned", 1, 320);
  ASSERT_TRUE(vault.pin(kAlice, pinned.name, 100).ok());
  const auto refused = vault.save("alice", made_partition("q", made_tokens(320, 2)));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResource);
  EXPECT_TRUE(is_there(vault, kAlice, pinned.name));
}

TEST_F(VaultStore, TwoHundredImagesAndTheirGarbage) {
  std::vector<HexName> names;
  {
    auto vault = open();
    for (std::uint32_t i = 0; i < 200; ++i) {
      names.push_back(save(vault, i % 2 == 0 ? "alice" : "bob", "p" + std::to_string(i), i + 1, 192, 128).name);
    }
  }
  for (std::uint32_t i = 0; i < 200; i += 4) {
    ASSERT_TRUE(std::filesystem::remove(file(kAlice, "images", names[i])));
  }
  write_file(file(kAlice, "pieces", HexName::of("nobody's")), "x");
  write_file(place_ / "aside" / HexName::of("begun").text(), "x");
  write_file(place_ / "owners" / kAlice.text() / "images" / "notes.txt", "mine");
  auto vault = open();
  EXPECT_EQ(vault.images()->size(), 150U);
  EXPECT_FALSE(std::filesystem::exists(place_ / "aside" / HexName::of("begun").text()));
  EXPECT_FALSE(std::filesystem::exists(file(kAlice, "pieces", HexName::of("nobody's"))));
  EXPECT_EQ(vault.bytes().value() + 4, bytes_on_disk()) << "notes.txt is nobody's business";
  write_file(file(kAlice, "images", HexName::of("rubbish")), "rubbish");
  const auto collected = vault.collect_garbage();
  ASSERT_TRUE(collected.ok()) << collected.error().to_string();
  EXPECT_EQ(collected->unreadable, 1U);
  for (std::uint32_t i = 0; i < 200; ++i) {
    if (i % 4 == 0) continue;
    EXPECT_TRUE(verify(vault.shelf(), i % 2 == 0 ? kAlice : kBob, names[i]).ok()) << i;
  }
}

TEST_F(VaultStore, GarbageCollectionKeepsToTheBudget) {
  {
    auto vault = open();
    for (std::uint32_t i = 0; i < 8; ++i) save(vault, "alice", "p" + std::to_string(i), i);
  }
  auto vault = open(40'000);
  const auto collected = vault.collect_garbage().value();
  EXPECT_GT(collected.evicted, 0U);
  EXPECT_LE(collected.bytes, 40'000U);
  EXPECT_EQ(collected.bytes, bytes_on_disk());
}

// A newer program's images and their pieces are left alone.
TEST_F(VaultStore, PiecesOfAnImageOfANewerVersionStay) {
  HexName name = HexName::of("");
  {
    auto vault = open();
    name = save(vault, "alice", "p", 1).name;
  }
  const auto path = file(kAlice, "images", name);
  const auto whole = read_file(path);
  auto newer = whole.substr(0, whole.size() - 16);
  newer[8] = 2;
  const auto digest = xxh3_128(std::as_bytes(std::span(newer)));
  newer.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  write_file(path, newer);
  for (const auto* ending : {"", "-wal", "-shm"}) std::filesystem::remove((place_ / "index.sqlite").string() + ending);
  {
    auto vault = open();
    EXPECT_THAT(vault.load(kAlice, name, made_fit()).error().message, HasSubstr("version 2"));
    EXPECT_EQ(vault.collect_garbage()->pieces, 0U);
  }
  write_file(path, whole);
  auto vault = open();
  EXPECT_EQ(vault.load(kAlice, name, made_fit())->why_no_cells, "");
}

TEST_F(VaultStore, SnapshotsOfOtherTokensAreRefused) {
  auto vault = open();
  auto partition = made_partition("p", made_tokens(200, 1));
  partition.cells = made_partition("p", made_tokens(200, 2)).cells;
  EXPECT_EQ(vault.save("alice", partition).error().code, ErrorCode::kUsage);
  partition.cells.reset();
  EXPECT_EQ(vault.save("alice", partition).error().code, ErrorCode::kUsage);
}

// Runs `body` in a child process; its return value becomes the exit status.
int child_status(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST_F(VaultStore, WhereFilesCannotGrowWhatWasThereStays) {
  HexName name = HexName::of("");
  {
    auto vault = open();
    name = save(vault, "alice", "p", 1, 64).name;
  }
  const int status = child_status([&] {
    auto vault = Vault::open({.folder = place_});
    if (!vault.ok()) return 1;
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{2000, 2000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto refused = vault->save("alice", made_partition("p", made_tokens(640, 1)));
    if (refused.ok() || refused.error().code != ErrorCode::kResource) return 2;
    return vault->load(kAlice, name, made_fit()).ok() ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
  auto vault = open();
  EXPECT_EQ(vault.images()->size(), 1U);
  EXPECT_TRUE(verify(vault.shelf(), kAlice, name).ok());
  EXPECT_EQ(vault.bytes().value(), bytes_on_disk());
}

#if defined(__linux__)
// A file system of two megabytes in memory.
class VaultFullDisk : public VaultStore {
 protected:
  void SetUp() override {
    mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=2m") == 0;
    if (!mounted_) GTEST_SKIP() << "mounting a small tmpfs needs root";
  }
  void TearDown() override {
    if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  bool mounted_ = false;
};

TEST_F(VaultFullDisk, WhatWasThereStaysWhole) {
  {
    auto vault = open();
    std::vector<HexName> names;
    for (std::uint32_t i = 0;; ++i) {
      ASSERT_LT(i, 1000U);
      const auto saved = vault.save("alice", made_partition("p" + std::to_string(i), made_tokens(640, i)));
      if (!saved.ok()) {
        EXPECT_EQ(saved.error().code, ErrorCode::kResource) << saved.error().to_string();
        break;
      }
      names.push_back(saved->name);
    }
    EXPECT_GT(names.size(), 5U);
    for (const auto& name : names) EXPECT_TRUE(verify(vault.shelf(), kAlice, name).ok());
    ASSERT_TRUE(vault.remove(kAlice, names.front()).ok()) << "room can be made";
  }
  auto vault = open();
  EXPECT_EQ(vault.bytes().value(), bytes_on_disk()) << "nothing is left of what did not fit";
}

TEST_F(VaultFullDisk, AReadOnlyOneIsReadAndNotWritten) {
  HexName name = HexName::of("");
  {
    auto vault = open();
    name = save(vault, "alice", "p", 1).name;
  }
  ASSERT_EQ(::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=2m"), 0);
  EXPECT_EQ(Vault::open({.folder = place_}).error().code, ErrorCode::kResource);
  EXPECT_TRUE(verify(Shelf::open(place_).value(), kAlice, name).ok());
}
#endif

}  // namespace
}  // namespace bulkhead::vault
