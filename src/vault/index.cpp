// SPDX-License-Identifier: MIT
#include "vault/index.h"

#include "base/utf8.h"
#include "vault/shelf.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

namespace bulkhead::vault {
namespace {

using database::Database;
using database::Row;
using database::Statement;
using database::Value;

constexpr std::int64_t kIndexVersion = 1;
// A pin that ends later than this from now was made by another clock, and does not hold.
constexpr std::int64_t kLongestPin = std::int64_t{400} * 24 * 3600;

std::optional<std::int64_t> number_at(const Row& row, std::size_t column) {
  const auto* number = column < row.size() ? std::get_if<std::int64_t>(&row[column]) : nullptr;
  return number == nullptr ? std::nullopt : std::optional(*number);
}

std::optional<HexName> name_at(const Row& row, std::size_t column) {
  const auto* text = column < row.size() ? std::get_if<std::string>(&row[column]) : nullptr;
  return text == nullptr ? std::nullopt : HexName::from(*text);
}

Error damaged_index(std::string_view what) {
  return {ErrorCode::kCorrupt,
          fmt::format("the index of the vault is damaged: {}", what),
          {},
          "remove index.sqlite: it is made anew from the files"};
}

const std::vector<std::string>& schema() {
  static const std::vector<std::string> tables = {
      "CREATE TABLE image(owner TEXT NOT NULL, name TEXT NOT NULL, partition TEXT NOT NULL, identity TEXT NOT NULL, "
      "bytes INTEGER NOT NULL, saved_at INTEGER NOT NULL, per_kib REAL NOT NULL, worth REAL NOT NULL, "
      "pinned_until INTEGER NOT NULL, PRIMARY KEY(owner, name))",
      "CREATE TABLE piece(owner TEXT NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY(owner, name))",
      "CREATE TABLE used(owner TEXT NOT NULL, image TEXT NOT NULL, piece TEXT NOT NULL, "
      "PRIMARY KEY(owner, image, piece)) WITHOUT ROWID",
      "CREATE INDEX used_by_piece ON used(owner, piece)", "CREATE TABLE level(value REAL NOT NULL)"};
  return tables;
}

// Whether the database is an index of this version, whole, and nothing else.
bool is_index(Database& database) {
  const auto version = database.run("PRAGMA user_version");
  if (!version.ok() || version->empty() || number_at(version->front(), 0) != kIndexVersion) return false;
  const auto tables = database.run("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL");
  if (!tables.ok() || tables->size() != schema().size() || !database.check().ok()) return false;
  return std::all_of(tables->begin(), tables->end(), [](const Row& row) {
    const auto* sql = std::get_if<std::string>(&row.front());
    return sql != nullptr && std::find(schema().begin(), schema().end(), *sql) != schema().end();
  });
}

void remove_database(const std::filesystem::path& path) {
  std::error_code ignored;
  for (const auto* ending : {"", "-wal", "-shm", "-journal"}) std::filesystem::remove(path.string() + ending, ignored);
}

}  // namespace

Result<Index> Index::open(const std::filesystem::path& path) {
  {
    auto database = Database::open(path);
    if (database.ok() && is_index(database.value())) {
      Index index(std::move(database).value());
      if (index.images().ok()) return index;
    } else if (!database.ok() && database.error().code == ErrorCode::kResource) {
      return database.error();
    }
  }
  remove_database(path);
  BH_TRY(auto database, Database::open(path));
  Index index(std::move(database));
  BH_CHECK(index.make_tables());
  return index;
}

Result<void> Index::make_tables() {
  std::vector<Statement> statements;
  for (const auto& table : schema()) statements.push_back({table});
  statements.push_back({"INSERT INTO level VALUES(0.0)"});
  statements.push_back({fmt::format("PRAGMA user_version={}", kIndexVersion)});
  return database_.run_together(statements);
}

Result<void> Index::add(const StoredImage& image, std::uint64_t file_bytes) {
  const auto owner = image.key.owner_name().text();
  const auto name = image.key.name().text();
  auto all = file_bytes;
  for (const auto& piece : image.pieces) all += piece.bytes + kPieceHeaderBytes;
  const auto tokens = image.partition.ledger.tokens.size();
  const double per_kib = static_cast<double>(tokens) * 1024 / static_cast<double>(all);
  std::vector<Statement> statements = {
      {"DELETE FROM used WHERE owner=?1 AND image=?2", {owner, name}},
      {"INSERT OR REPLACE INTO image SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7 + level.value, "
       "COALESCE((SELECT pinned_until FROM image WHERE owner=?1 AND name=?2), 0) FROM level",
       {owner, name, escape_bytes(image.key.partition()), image.key.identity().text(),
        static_cast<std::int64_t>(file_bytes), image.saved_at, per_kib}}};
  std::set<std::string> seen;
  for (const auto& piece : image.pieces) {
    if (!seen.insert(piece.name.text()).second) continue;
    statements.push_back({"INSERT OR IGNORE INTO piece VALUES(?1, ?2, ?3)",
                          {owner, piece.name.text(), static_cast<std::int64_t>(piece.bytes + kPieceHeaderBytes)}});
    statements.push_back({"INSERT INTO used VALUES(?1, ?2, ?3)", {owner, name, piece.name.text()}});
  }
  return database_.run_together(statements);
}

Result<void> Index::remove(const HexName& owner, const HexName& name) {
  const std::vector<Value> which = {owner.text(), name.text()};
  const std::vector<Statement> statements = {
      {"DELETE FROM piece WHERE owner=?1 AND name IN (SELECT piece FROM used AS mine WHERE owner=?1 AND image=?2 AND "
       "NOT EXISTS(SELECT 1 FROM used WHERE owner=?1 AND piece=mine.piece AND image<>?2))",
       which},
      {"DELETE FROM used WHERE owner=?1 AND image=?2", which},
      {"DELETE FROM image WHERE owner=?1 AND name=?2", which}};
  return database_.run_together(statements);
}

Result<void> Index::touch(const HexName& owner, const HexName& name) {
  const std::vector<Value> which = {owner.text(), name.text()};
  BH_CHECK(
      database_.run("UPDATE image SET worth=per_kib + (SELECT value FROM level) WHERE owner=?1 AND name=?2", which));
  return {};
}

Result<void> Index::pin(const HexName& owner, const HexName& name, std::int64_t until) {
  const std::vector<Value> which = {owner.text(), name.text(), until};
  BH_CHECK(database_.run("UPDATE image SET pinned_until=?3 WHERE owner=?1 AND name=?2", which));
  return {};
}

Result<std::vector<IndexedImage>> Index::images() {
  BH_TRY(const auto rows, database_.run("SELECT owner, name, pinned_until FROM image ORDER BY owner, name"));
  std::vector<IndexedImage> images;
  for (const auto& row : rows) {
    const auto owner = name_at(row, 0);
    const auto name = name_at(row, 1);
    const auto until = number_at(row, 2);
    if (!owner || !name || !until) return damaged_index("an image without a name");
    images.push_back({*owner, *name, *until});
  }
  return images;
}

Result<std::vector<HexName>> Index::others_of_partition(const ImageKey& key) {
  const std::vector<Value> which = {key.owner_name().text(), escape_bytes(key.partition()), key.identity().text(),
                                    key.name().text()};
  BH_TRY(const auto rows,
         database_.run("SELECT name FROM image WHERE owner=?1 AND partition=?2 AND identity=?3 AND name<>?4 AND "
                       "pinned_until=0",
                       which));
  std::vector<HexName> names;
  for (const auto& row : rows) {
    if (auto name = name_at(row, 0)) names.push_back(*std::move(name));
  }
  return names;
}

Result<std::vector<HexName>> Index::pieces_of_it_alone(const HexName& owner, const HexName& name) {
  const std::vector<Value> which = {owner.text(), name.text()};
  BH_TRY(const auto rows,
         database_.run("SELECT piece FROM used AS mine WHERE owner=?1 AND image=?2 AND NOT EXISTS(SELECT 1 FROM used "
                       "WHERE owner=?1 AND piece=mine.piece AND image<>?2)",
                       which));
  std::vector<HexName> pieces;
  for (const auto& row : rows) {
    if (auto piece = name_at(row, 0)) pieces.push_back(*std::move(piece));
  }
  return pieces;
}

Result<bool> Index::names_piece(const HexName& owner, const HexName& piece) {
  const std::vector<Value> which = {owner.text(), piece.text()};
  BH_TRY(const auto rows, database_.run("SELECT 1 FROM piece WHERE owner=?1 AND name=?2", which));
  return !rows.empty();
}

Result<std::uint64_t> Index::bytes(const std::optional<HexName>& owner) {
  const std::string sum = "SELECT COALESCE(SUM(bytes), 0) FROM ";
  const std::string whose = owner ? " WHERE owner=?1" : "";
  std::vector<Value> which;
  if (owner) which.emplace_back(owner->text());
  std::uint64_t bytes = 0;
  for (const auto* table : {"image", "piece"}) {
    BH_TRY(const auto rows, database_.run(sum + table + whose, which));
    const auto number = rows.empty() ? std::nullopt : number_at(rows.front(), 0);
    if (!number || *number < 0) return damaged_index("sizes that are none");
    bytes += static_cast<std::uint64_t>(*number);
  }
  return bytes;
}

Result<std::optional<IndexedImage>> Index::first_to_go(const std::optional<HexName>& owner, std::int64_t now) {
  std::vector<Value> which = {now, now + kLongestPin};
  if (owner) which.emplace_back(owner->text());
  BH_TRY(const auto rows,
         database_.run(std::string("SELECT owner, name, pinned_until FROM image WHERE (pinned_until<=?1 OR "
                                   "pinned_until>?2)") +
                           (owner ? " AND owner=?3" : "") + " ORDER BY worth, saved_at, owner, name LIMIT 1",
                       which));
  if (rows.empty()) return std::optional<IndexedImage>();
  const auto whose = name_at(rows.front(), 0);
  const auto name = name_at(rows.front(), 1);
  if (!whose || !name) return damaged_index("an image without a name");
  return std::optional(IndexedImage{*whose, *name, number_at(rows.front(), 2).value_or(0)});
}

Result<void> Index::raise_level(const HexName& owner, const HexName& name) {
  const std::vector<Value> which = {owner.text(), name.text()};
  BH_CHECK(database_.run(
      "UPDATE level SET value=MAX(value, COALESCE((SELECT worth FROM image WHERE owner=?1 AND name=?2), 0))", which));
  return {};
}

}  // namespace bulkhead::vault
