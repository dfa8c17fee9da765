// SPDX-License-Identifier: MIT
// SIGKILL at random points of saving, evicting, removing, collecting garbage and importing: afterwards every image is
// whole or not there. BULKHEAD_VAULT_KILLS: how many times.
#include "temporary_folder.h"
#include "vault/made_partition.h"
#include "vault/transfer.h"
#include "vault/vault.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

namespace bulkhead::vault {
namespace {

using testing::made_fit;
using testing::made_partition;
using testing::made_tokens;
using testing::TemporaryFolder;

constexpr std::uint64_t kBudget = 200'000;

int kills() {
  const char* asked = std::getenv("BULKHEAD_VAULT_KILLS");
  return asked == nullptr ? 40 : std::atoi(asked);
}

// What tokens a partition of this name has follows from the name alone.
partition::PartitionImage partition_named(const std::string& name) {
  const auto number = static_cast<std::uint32_t>(std::atoi(name.c_str() + 1));
  return made_partition(name, made_tokens(100 + 64 * (number % 9), number + 1, 128));
}

// Until it is killed.
[[noreturn]] void work(const std::filesystem::path& place, const std::filesystem::path& exported, std::uint32_t seed) {
  std::mt19937 random(seed);
  for (;;) {
    auto vault = Vault::open({.folder = place, .budget_bytes = kBudget});
    if (!vault.ok()) ::_exit(3);
    for (int i = 0; i < 20; ++i) {
      const auto* owner = random() % 2 == 0 ? "alice" : "bob";
      const auto act = random() % 8;
      if (act < 5) {
        const auto saved = vault->save(owner, partition_named("p" + std::to_string(random() % 60)));
        if (!saved.ok()) ::_exit(4);
      } else if (act == 5) {
        if (!import_image(vault.value(), exported).ok()) ::_exit(5);
      } else if (act == 6) {
        const auto images = vault->images();
        if (!images.ok()) ::_exit(6);
        if (images->empty()) continue;
        const auto& one = images.value()[random() % images->size()];
        if (!vault->remove(one.owner, one.name).ok()) ::_exit(7);
      } else if (!vault->collect_garbage().ok()) {
        ::_exit(8);
      }
    }
  }
}

std::uint64_t files_below(const std::filesystem::path& folder) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  return bytes;
}

TEST(VaultKilled, EveryImageIsWholeOrNotThere) {
  const TemporaryFolder folder;
  const auto place = folder / "vault";
  const auto exported = folder / "export";
  {
    auto other = Vault::open({.folder = folder / "other"}).value();
    const auto saved = other.save("alice", partition_named("p7")).value();
    ASSERT_TRUE(export_image(other.shelf(), HexName::of("alice"), saved.name, exported).ok());
  }
  std::mt19937 random(11);
  std::size_t seen = 0;
  for (int round = 0; round < kills(); ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) work(place, exported, static_cast<std::uint32_t>(round));
    std::this_thread::sleep_for(std::chrono::microseconds(1000 + random() % 60'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself: " << WEXITSTATUS(status);
    auto vault = Vault::open({.folder = place, .budget_bytes = kBudget});
    ASSERT_TRUE(vault.ok()) << round << ": " << vault.error().to_string();
    const auto images = vault->images().value();
    for (const auto& image : images) {
      const auto whole = verify(vault->shelf(), image.owner, image.name);
      ASSERT_TRUE(whole.ok()) << round << ": " << whole.error().to_string();
      const auto loaded = vault->load(image.owner, image.name, made_fit()).value();
      testing::expect_same_partition(loaded.partition, partition_named(loaded.partition.name));
    }
    seen += images.size();
    EXPECT_EQ(vault->bytes().value(), files_below(place / "owners")) << round << ": nothing is left behind";
    EXPECT_LE(vault->bytes().value(), kBudget);
    EXPECT_TRUE(std::filesystem::is_empty(place / "aside"));
  }
  EXPECT_GT(seen, static_cast<std::size_t>(kills())) << "the kills came when something was there";
}

}  // namespace
}  // namespace bulkhead::vault
