// SPDX-License-Identifier: MIT
#include "database/database.h"

#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace bulkhead::database {
namespace {

using testing::TemporaryFolder;

TEST(Database, KeepsEveryKindOfValueExactly) {
  const TemporaryFolder folder;
  const Row row = {std::int64_t{-9'000'000'000'000'000'001}, 0.1, std::string("a\0b'; DROP", 10), std::monostate()};
  {
    auto database = Database::open(folder / "one.sqlite");
    ASSERT_TRUE(database.ok()) << database.error().to_string();
    ASSERT_TRUE(database->run("CREATE TABLE t(a, b, c, d)").ok());
    ASSERT_TRUE(database->run("INSERT INTO t VALUES(?1, ?2, ?3, ?4)", row).ok());
  }
  auto again = Database::open(folder / "one.sqlite");
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(again->run("SELECT * FROM t").value(), std::vector<Row>{row});
  EXPECT_EQ(again->run("PRAGMA journal_mode").value(), (std::vector<Row>{{std::string("wal")}}));
}

TEST(Database, RefusesWhatBreaksAConstraint) {
  const TemporaryFolder folder;
  auto database = Database::open(folder / "one.sqlite");
  ASSERT_TRUE(database.ok());
  ASSERT_TRUE(database->run("CREATE TABLE t(a PRIMARY KEY)").ok());
  const Row row = {std::string("x")};
  ASSERT_TRUE(database->run("INSERT INTO t VALUES(?1)", row).ok());
  const auto twice = database->run("INSERT INTO t VALUES(?1)", row);
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().code, ErrorCode::kInternal);
  EXPECT_NE(twice.error().message.find("UNIQUE"), std::string::npos);
  EXPECT_EQ(database->run("SELECT * FROM t")->size(), 1U);
  EXPECT_FALSE(database->run("SELEC").ok());
}

TEST(Database, SaysWhatIsNoDatabase) {
  const TemporaryFolder folder;
  std::ofstream(folder / "text.sqlite") << std::string(4096, 'x');
  const auto text = Database::open(folder / "text.sqlite");
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().code, ErrorCode::kCorrupt);
  const auto nowhere = Database::open(folder / "none" / "one.sqlite");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_EQ(nowhere.error().code, ErrorCode::kResource);
}

}  // namespace
}  // namespace bulkhead::database
