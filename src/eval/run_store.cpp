// SPDX-License-Identifier: MIT
#include "eval/run_store.h"

#include "store/safe_file.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <utility>

namespace bulkhead::eval {
namespace {

using database::Row;
using database::Value;

constexpr std::int64_t kSchemaVersion = 1;
constexpr std::string_view kColumns =
    "conversation, condition, item, domain, difficulty, kind, cluster, context, context_tokens, item_tokens, seconds, "
    "candidates, output";
constexpr std::size_t kColumnCount = 13;

// One table made in one statement each; the version is set last, so that a store killed half-made is made anew.
constexpr const char* kMetaTable = "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL)";
constexpr const char* kCellTable =
    "CREATE TABLE IF NOT EXISTS cell(conversation TEXT NOT NULL, condition TEXT NOT NULL, item TEXT NOT NULL, "
    "domain TEXT NOT NULL, difficulty INTEGER NOT NULL, kind TEXT NOT NULL, cluster TEXT NOT NULL, "
    "context TEXT NOT NULL, context_tokens INTEGER NOT NULL, item_tokens INTEGER NOT NULL, seconds REAL NOT NULL, "
    "candidates TEXT NOT NULL, output TEXT NOT NULL DEFAULT '', PRIMARY KEY(conversation, condition, item))";
// Stores from before there were outputs get their column. A program from then still reads and fills such a store.
constexpr const char* kOutputColumn = "ALTER TABLE cell ADD COLUMN output TEXT NOT NULL DEFAULT ''";

template <typename Type>
Result<Type> get(const Row& row, std::size_t index) {
  if (const auto* value = index < row.size() ? std::get_if<Type>(&row[index]) : nullptr) return *value;
  return Error{
      ErrorCode::kCorrupt, fmt::format("column {} of the cells holds another type", index), "cells.sqlite", {}};
}

Result<std::uint32_t> count(const Row& row, std::size_t index) {
  BH_TRY(const auto number, get<std::int64_t>(row, index));
  return static_cast<std::uint32_t>(number);
}

Result<Cell> read_cell(const Row& row) {
  Cell cell;
  BH_TRY(cell.key.conversation, get<std::string>(row, 0));
  BH_TRY(cell.key.condition, get<std::string>(row, 1));
  BH_TRY(cell.key.item, get<std::string>(row, 2));
  BH_TRY(cell.domain, get<std::string>(row, 3));
  BH_TRY(const auto difficulty, get<std::int64_t>(row, 4));
  cell.difficulty = static_cast<int>(difficulty);
  BH_TRY(cell.kind, get<std::string>(row, 5));
  BH_TRY(cell.cluster, get<std::string>(row, 6));
  BH_TRY(cell.context, get<std::string>(row, 7));
  BH_TRY(cell.context_tokens, count(row, 8));
  BH_TRY(cell.item_tokens, count(row, 9));
  BH_TRY(cell.seconds, get<double>(row, 10));
  BH_TRY(const auto output, get<std::string>(row, 12));
  if (!output.empty()) {
    BH_TRY(cell.output, output_from_json(output));
    return cell;
  }
  BH_TRY(const auto candidates, get<std::string>(row, 11));
  BH_TRY(cell.candidates, candidates_from_json(candidates));
  return cell;
}

// "model_sha256 is 12ab there and 34cd here", of the first field that differs.
std::string difference(const Json& there, const Json& here) {
  for (const auto& [key, value] : here.items()) {
    const auto found = there.find(key);
    if (found == there.end()) return fmt::format("{} is {} here and not said there", key, json_text(value));
    if (*found != value) return fmt::format("{} is {} there and {} here", key, json_text(*found), json_text(value));
  }
  return "it has more fields there";
}

}  // namespace

Result<RunStore> RunStore::open(const std::filesystem::path& folder, const Json& configuration) {
  BH_CHECK(store::check_writable_directory(folder));
  BH_TRY(auto lock, store::FileLock::try_acquire(folder / "eval.lock"));
  BH_TRY(auto database, database::Database::open(folder / "cells.sqlite"));
  RunStore made(std::move(lock), std::move(database));
  BH_TRY(const auto version, made.database_.run("PRAGMA user_version"));
  BH_TRY(const auto number, get<std::int64_t>(version.at(0), 0));
  if (number == 0) {
    BH_CHECK(made.create(configuration));
  } else if (number != kSchemaVersion) {
    return Error{ErrorCode::kBadInput,
                 fmt::format("the store has schema version {}; this program reads {}", number, kSchemaVersion),
                 (folder / "cells.sqlite").string(), "choose another folder"};
  }
  BH_CHECK(made.check_configuration(configuration, folder));
  BH_CHECK(made.complete_columns());
  BH_CHECK(made.read_keys());
  return made;
}

Result<std::string> RunStore::recorded_clock(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto path = folder / "cells.sqlite";
  if (!std::filesystem::exists(path, ignored)) return std::string();
  BH_TRY(auto database, database::Database::open(path));
  BH_TRY(const auto version, database.run("PRAGMA user_version"));
  BH_TRY(const auto number, get<std::int64_t>(version.at(0), 0));
  if (number != kSchemaVersion) return std::string();  // open() says so
  BH_TRY(const auto rows, database.run("SELECT value FROM meta WHERE key='configuration'"));
  BH_TRY(const auto text, get<std::string>(rows.empty() ? Row() : rows.front(), 0));
  const auto configuration = parse_json(text);
  if (!configuration.ok() || !configuration->is_object()) return std::string();  // open() says so
  const auto clock = configuration->find("clock");
  return clock != configuration->end() && clock->is_string() ? clock->get<std::string>() : std::string();
}

Result<void> RunStore::create(const Json& configuration) {
  const Row parameters = {std::string("configuration"), json_text(configuration)};
  for (const char* const table : {kMetaTable, kCellTable}) {
    if (auto made = database_.run(table); !made.ok()) return made.error();
  }
  if (auto put = database_.run("INSERT OR REPLACE INTO meta VALUES(?1, ?2)", parameters); !put.ok()) return put.error();
  const auto version = database_.run(fmt::format("PRAGMA user_version={}", kSchemaVersion));
  if (!version.ok()) return version.error();
  return {};
}

Result<void> RunStore::check_configuration(const Json& configuration, const std::filesystem::path& folder) {
  BH_TRY(const auto rows, database_.run("SELECT value FROM meta WHERE key='configuration'"));
  BH_TRY(const auto text, get<std::string>(rows.empty() ? Row() : rows.front(), 0));
  if (text == json_text(configuration)) return {};
  const auto there = parse_json(text);
  return Error{ErrorCode::kBadInput,
               fmt::format("the folder holds an evaluation with another configuration: {}",
                           difference(there.ok() && there->is_object() ? *there : Json::object(), configuration)),
               folder.string(), "choose another folder, or the same model, data set and options"};
}

Result<void> RunStore::complete_columns() {
  BH_TRY(const auto found, database_.run("SELECT 1 FROM pragma_table_info('cell') WHERE name='output'"));
  if (!found.empty()) return {};
  if (auto added = database_.run(kOutputColumn); !added.ok()) return added.error();
  return {};
}

Result<void> RunStore::read_keys() {
  BH_TRY(const auto rows, database_.run("SELECT conversation, condition, item FROM cell"));
  for (const auto& row : rows) {
    CellKey key;
    BH_TRY(key.conversation, get<std::string>(row, 0));
    BH_TRY(key.condition, get<std::string>(row, 1));
    BH_TRY(key.item, get<std::string>(row, 2));
    keys_.insert(std::move(key));
  }
  return {};
}

Result<void> RunStore::add(const Cell& cell) {
  const std::vector<Value> parameters = {cell.key.conversation,
                                         cell.key.condition,
                                         cell.key.item,
                                         cell.domain,
                                         static_cast<std::int64_t>(cell.difficulty),
                                         cell.kind,
                                         cell.cluster,
                                         cell.context,
                                         static_cast<std::int64_t>(cell.context_tokens),
                                         static_cast<std::int64_t>(cell.item_tokens),
                                         cell.seconds,
                                         json_text(to_json(cell.candidates)),
                                         cell.output ? json_text(to_json(*cell.output)) : std::string()};
  std::string places;
  for (std::size_t i = 1; i <= kColumnCount; ++i) places += fmt::format("{}?{}", i == 1 ? "" : ", ", i);
  const auto put = database_.run(fmt::format("INSERT INTO cell({}) VALUES({})", kColumns, places), parameters);
  if (!put.ok()) return put.error();
  keys_.insert(cell.key);
  return {};
}

Result<std::vector<Cell>> RunStore::cells() {
  BH_TRY(const auto rows,
         database_.run(fmt::format("SELECT {} FROM cell ORDER BY conversation, condition, item", kColumns)));
  std::vector<Cell> cells;
  for (const auto& row : rows) {
    BH_TRY(auto cell, read_cell(row));
    cells.push_back(std::move(cell));
  }
  return cells;
}

}  // namespace bulkhead::eval
