// SPDX-License-Identifier: MIT
#include "eval/run_store.h"

#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>

namespace bulkhead::eval {
namespace {

using testing::TemporaryFolder;

const Json kConfiguration = {{"model_sha256", "12ab"}, {"seed", 1}};

Cell cell(const std::string& item) {
  return {
      .key = {"law-01", "semantic", item},
      .domain = "law",
      .difficulty = 2,
      .kind = "own",
      .cluster = "c1",
      .context = "c1",
      .context_tokens = 900,
      .item_tokens = 70,
      .seconds = 0.25,
      .candidates = {{"4 \"euros\"\n", "", Standing::kRight, -0.1, 3}, {"5", "c2", Standing::kForeign, -1.0 / 3, 1}}};
}

TEST(RunStore, KeepsCellsExactly) {
  const TemporaryFolder folder;
  {
    auto store = RunStore::open(folder / "run", kConfiguration);
    ASSERT_TRUE(store.ok()) << store.error().to_string();
    ASSERT_TRUE(store->add(cell("q2")).ok());
    ASSERT_TRUE(store->add(cell("q1")).ok());
    EXPECT_TRUE(store->has(cell("q1").key));
  }
  auto again = RunStore::open(folder / "run", kConfiguration);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(again->size(), 2U);
  EXPECT_TRUE(again->has(cell("q2").key));
  EXPECT_FALSE(again->has(cell("q3").key));
  EXPECT_EQ(again->cells().value(), (std::vector<Cell>{cell("q1"), cell("q2")}));
}

Cell written() {
  auto one = cell("output:c1");
  one.kind = kOutputKind;
  one.candidates.clear();
  one.output = Output{.text = "so \"much\"\n", .tokens = 4, .ended = true, .bleu = 1.0 / 3, .words = 2, .canaries = 1};
  return one;
}

TEST(RunStore, KeepsOutputsExactly) {
  const TemporaryFolder folder;
  ASSERT_TRUE(RunStore::open(folder.path(), kConfiguration)->add(written()).ok());
  EXPECT_EQ(RunStore::open(folder.path(), kConfiguration)->cells().value(), std::vector<Cell>{written()});
}

// What the statement makes of a store with two cells: the error of opening it.
Error after(const std::string& statement) {
  const TemporaryFolder folder;
  {
    auto store = RunStore::open(folder.path(), kConfiguration);
    EXPECT_TRUE(store->add(cell("q1")).ok());
    EXPECT_TRUE(store->add(written()).ok());
  }
  EXPECT_TRUE(database::Database::open(folder / "cells.sqlite")->run(statement).ok()) << statement;
  const auto damaged = RunStore::open(folder.path(), kConfiguration);
  EXPECT_FALSE(damaged.ok()) << statement;
  return damaged.ok() ? Error{} : damaged.error();
}

TEST(RunStore, FindsAChangeInAnyColumnAndARowThatIsGone) {
  for (const std::string column : {"conversation", "condition", "item", "domain", "kind", "cluster", "context"}) {
    EXPECT_EQ(after("UPDATE cell SET " + column + "='x' WHERE item='q1'").code, ErrorCode::kCorrupt) << column;
  }
  for (const std::string column : {"difficulty", "context_tokens", "item_tokens", "digest"}) {
    EXPECT_EQ(after("UPDATE cell SET " + column + "=" + column + "+1 WHERE item='q1'").code, ErrorCode::kCorrupt)
        << column;
  }
  for (const char* const statement :
       {"UPDATE cell SET seconds=0.26", "UPDATE cell SET candidates=replace(candidates, '-0.1', '-0.2')",
        "UPDATE cell SET output=replace(output, '4', '5') WHERE kind='output'", "DELETE FROM cell WHERE item='q1'",
        "DELETE FROM cell", "DELETE FROM meta WHERE key='seal'", "UPDATE meta SET value='{}' WHERE key='configuration'",
        "ALTER TABLE cell DROP COLUMN output", "PRAGMA user_version=0", "PRAGMA user_version=1"}) {
    const auto error = after(statement);
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << statement << ": " << error.to_string();
    EXPECT_FALSE(error.advice.empty()) << statement;
  }
}

TEST(RunStore, FindsAChangeWhileItIsOpen) {
  const TemporaryFolder folder;
  auto store = RunStore::open(folder.path(), kConfiguration);
  ASSERT_TRUE(store->add(cell("q1")).ok());
  ASSERT_TRUE(database::Database::open(folder / "cells.sqlite")->run("UPDATE cell SET seconds=1").ok());
  const auto cells = store->cells();
  ASSERT_FALSE(cells.ok());
  EXPECT_EQ(cells.error().code, ErrorCode::kCorrupt);
}

// Whatever bit of the file is another: the same cells, or an error that says so.
TEST(RunStore, NoFlippedBitChangesANumberSilently) {
  const TemporaryFolder folder;
  std::vector<Cell> kept;
  {
    auto store = RunStore::open(folder.path(), kConfiguration);
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(store->add(cell("q" + std::to_string(i))).ok());
    ASSERT_TRUE(store->add(written()).ok());
    kept = store->cells().value();
  }
  const auto whole = testing::read_file(folder / "cells.sqlite");
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 240; ++i) {
    auto bytes = whole;
    const auto bit = random() % (bytes.size() * 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    for (const char* const beside : {"cells.sqlite-wal", "cells.sqlite-shm"}) {
      std::filesystem::remove(folder / beside);
    }
    testing::write_file(folder / "cells.sqlite", bytes);
    auto store = RunStore::open(folder.path(), kConfiguration);
    const auto cells = store.ok() ? store->cells() : Result<std::vector<Cell>>(store.error());
    if (cells.ok()) {
      EXPECT_EQ(cells.value(), kept) << "bit " << bit;
    } else {
      EXPECT_EQ(cells.error().code, ErrorCode::kCorrupt) << "bit " << bit << ": " << cells.error().to_string();
      EXPECT_FALSE(cells.error().advice.empty()) << cells.error().to_string();
      ++refused;
    }
  }
  EXPECT_GT(refused, 60) << "much of the file is cells";
}

TEST(RunStore, FollowsNoLinkAndWaitsForNoFifo) {
  const TemporaryFolder folder;
  ASSERT_TRUE(RunStore::open(folder / "run", kConfiguration).ok());
  testing::write_file(folder / "elsewhere", "kept");
  for (const bool link : {true, false}) {
    std::filesystem::remove(folder / "run/cells.sqlite");
    if (link) {
      std::filesystem::create_symlink(folder / "elsewhere", folder / "run/cells.sqlite");
    } else {
      ASSERT_EQ(::mkfifo((folder / "run/cells.sqlite").c_str(), 0600), 0);
    }
    const auto opened = RunStore::open(folder / "run", kConfiguration);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code, ErrorCode::kResource);
  }
  EXPECT_EQ(testing::read_file(folder / "elsewhere"), "kept");
}

TEST(RunStore, TakesNoCellTwice) {
  const TemporaryFolder folder;
  auto store = RunStore::open(folder.path(), kConfiguration).value();
  ASSERT_TRUE(store.add(cell("q1")).ok());
  const auto twice = store.add(cell("q1"));
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().code, ErrorCode::kInternal);
  EXPECT_EQ(store.cells()->size(), 1U);
}

TEST(RunStore, RefusesAnotherConfiguration) {
  const TemporaryFolder folder;
  ASSERT_TRUE(RunStore::open(folder.path(), kConfiguration).ok());
  const auto other = RunStore::open(folder.path(), {{"model_sha256", "34cd"}, {"seed", 1}});
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, ErrorCode::kBadInput);
  EXPECT_NE(other.error().message.find("model_sha256 is \"12ab\" there and \"34cd\" here"), std::string::npos)
      << other.error().message;
  EXPECT_TRUE(RunStore::open(folder.path(), kConfiguration).ok());
}

TEST(RunStore, IsForOneProcessAtATime) {
  const TemporaryFolder folder;
  const auto store = RunStore::open(folder.path(), kConfiguration);
  ASSERT_TRUE(store.ok());
  const auto second = RunStore::open(folder.path(), kConfiguration);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kResource);
}

TEST(RunStore, SaysWhatItCannotRead) {
  const TemporaryFolder folder;
  ASSERT_TRUE(RunStore::open(folder.path(), kConfiguration).ok());
  std::ofstream(folder / "cells.sqlite") << std::string(4096, 'x');
  const auto damaged = RunStore::open(folder.path(), kConfiguration);
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.error().code, ErrorCode::kCorrupt);

  const TemporaryFolder newer;
  ASSERT_TRUE(RunStore::open(newer.path(), kConfiguration).ok());
  ASSERT_TRUE(database::Database::open(newer / "cells.sqlite")->run("PRAGMA user_version=99").ok());
  const auto version = RunStore::open(newer.path(), kConfiguration);
  ASSERT_FALSE(version.ok());
  EXPECT_NE(version.error().message.find("99"), std::string::npos);
}

TEST(Cell, ChoiceGoesByTokenOrByTotal) {
  auto one = cell("q1");
  one.candidates = {{"a", "", Standing::kRight, -3.0, 4}, {"b", "c2", Standing::kForeign, -1.0, 1}};
  EXPECT_EQ(chosen(one, Scoring::kPerToken).value, "a");
  EXPECT_EQ(chosen(one, Scoring::kTotal).value, "b");
  one.candidates[1] = {"b", "c2", Standing::kForeign, -0.75, 1};
  EXPECT_EQ(chosen(one, Scoring::kPerToken).value, "a") << "the first of equals";
  EXPECT_FALSE(candidates_from_json("[]").ok());
  EXPECT_EQ(candidates_from_json("[{}]").error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace bulkhead::eval
