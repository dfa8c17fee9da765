// SPDX-License-Identifier: MIT
#include "eval/run_store.h"

#include "base/hash.h"

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>

namespace bulkhead::eval {
namespace {

using database::Row;
using database::Statement;
using database::Value;

constexpr std::int64_t kSchemaVersion = 2;
constexpr std::string_view kFile = "cells.sqlite";
constexpr std::string_view kColumns =
    "conversation, condition, item, domain, difficulty, kind, cluster, context, context_tokens, item_tokens, seconds, "
    "candidates, output";
constexpr std::size_t kColumnCount = 13;

constexpr const char* kMetaTable =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, digest INTEGER NOT NULL)";
constexpr const char* kCellTable =
    "CREATE TABLE cell(conversation TEXT NOT NULL, condition TEXT NOT NULL, item TEXT NOT NULL, "
    "domain TEXT NOT NULL, difficulty INTEGER NOT NULL, kind TEXT NOT NULL, cluster TEXT NOT NULL, "
    "context TEXT NOT NULL, context_tokens INTEGER NOT NULL, item_tokens INTEGER NOT NULL, seconds REAL NOT NULL, "
    "candidates TEXT NOT NULL, output TEXT NOT NULL, digest INTEGER NOT NULL, "
    "PRIMARY KEY(conversation, condition, item))";

// The values' types and bytes, each with its length: no two rows have the same.
struct Spell {
  std::string& bytes;

  void put(char type, std::string_view value) const { bytes += fmt::format("{}{}:{}", type, value.size(), value); }
  void operator()(std::monostate) const { put('n', {}); }
  void operator()(std::int64_t number) const { put('i', fmt::to_string(number)); }
  void operator()(double number) const { put('r', fmt::format("{:016x}", std::bit_cast<std::uint64_t>(number))); }
  void operator()(const std::string& text) const { put('t', text); }
};

std::uint64_t digest_of(std::span<const Value> values) {
  std::string bytes;
  for (const auto& value : values) std::visit(Spell{bytes}, value);
  return xxh3_64(std::as_bytes(std::span(bytes)));
}

Statement put_meta(std::string_view key, std::string text) {
  std::vector<Value> row = {std::string(key), std::move(text)};
  row.emplace_back(static_cast<std::int64_t>(digest_of(row)));
  return {"INSERT OR REPLACE INTO meta VALUES(?1, ?2, ?3)", std::move(row)};
}

std::string seal_of(std::size_t rows, std::uint64_t digest) {
  return fmt::format("{} rows, {:016x}", rows, digest);
}

template <typename Type>
Result<Type> get(const Row& row, std::size_t index) {
  if (const auto* value = index < row.size() ? std::get_if<Type>(&row[index]) : nullptr) return *value;
  return Error{
      ErrorCode::kCorrupt, fmt::format("column {} of the cells holds another type", index), std::string(kFile), {}};
}

template <typename Number>
Result<Number> count(const Row& row, std::size_t index) {
  BH_TRY(const auto number, get<std::int64_t>(row, index));
  if (number >= 0 && number <= std::numeric_limits<Number>::max()) return static_cast<Number>(number);
  return Error{
      ErrorCode::kCorrupt, fmt::format("column {} of the cells holds {}", index, number), std::string(kFile), {}};
}

Result<Cell> read_cell(const Row& row) {
  Cell cell;
  BH_TRY(cell.key.conversation, get<std::string>(row, 0));
  BH_TRY(cell.key.condition, get<std::string>(row, 1));
  BH_TRY(cell.key.item, get<std::string>(row, 2));
  BH_TRY(cell.domain, get<std::string>(row, 3));
  BH_TRY(cell.difficulty, count<int>(row, 4));
  BH_TRY(cell.kind, get<std::string>(row, 5));
  BH_TRY(cell.cluster, get<std::string>(row, 6));
  BH_TRY(cell.context, get<std::string>(row, 7));
  BH_TRY(cell.context_tokens, count<std::uint32_t>(row, 8));
  BH_TRY(cell.item_tokens, count<std::uint32_t>(row, 9));
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

Error damaged(std::string message) {
  return {ErrorCode::kCorrupt, std::move(message), std::string(kFile), {}};
}

// Statements that were right when the store was made are wrong only if its tables are others now.
Error as_damage(Error error, const std::filesystem::path& folder) {
  if (error.code != ErrorCode::kInternal && error.code != ErrorCode::kCorrupt) return error;
  error.code = ErrorCode::kCorrupt;
  error.place = (folder / kFile).string();
  error.advice = "the store is damaged: remove the folder and evaluate again, or take it from where it came";
  return error;
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

Result<std::string> clock_in(const std::filesystem::path& path) {
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

}  // namespace

Result<RunStore> RunStore::open(const std::filesystem::path& folder, const Json& configuration, std::string_view kind) {
  BH_TRY(auto sealed, store::SealedFolder::open(folder, std::string(kind), store::SealedFolder::Existing::kContinue));
  auto database = database::Database::open(folder / kFile);
  if (!database.ok()) return as_damage(database.error(), folder);
  RunStore made(std::move(sealed), std::move(database).value());
  if (auto opened = made.open_tables(configuration); !opened.ok()) return as_damage(opened.error(), folder);
  return made;
}

Result<std::string> RunStore::recorded_clock(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder / kFile, ignored)) return std::string();
  auto clock = clock_in(folder / kFile);
  if (!clock.ok()) return as_damage(clock.error(), folder);
  return clock;
}

Result<void> RunStore::open_tables(const Json& configuration) {
  BH_CHECK(database_.check());
  BH_TRY(const auto version, database_.run("PRAGMA user_version"));
  BH_TRY(const auto number, get<std::int64_t>(version.at(0), 0));
  BH_TRY(const auto tables, database_.run("SELECT 1 FROM sqlite_schema"));
  // A store is made whole or not at all.
  if (number == 0 && tables.empty()) {
    BH_CHECK(create(configuration));
  } else if (number != kSchemaVersion) {
    return damaged(fmt::format("the store has schema version {}; this program reads {}", number, kSchemaVersion));
  }
  BH_CHECK(check_configuration(configuration));
  return read_keys();
}

Result<void> RunStore::create(const Json& configuration) {
  return database_.run_together(std::vector<Statement>{{kMetaTable},
                                                       {kCellTable},
                                                       put_meta("configuration", json_text(configuration)),
                                                       put_meta("seal", seal_of(0, 0)),
                                                       {fmt::format("PRAGMA user_version={}", kSchemaVersion)}});
}

Result<std::string> RunStore::meta(std::string_view key) {
  BH_TRY(const auto rows,
         database_.run("SELECT key, value, digest FROM meta WHERE key=?1", std::vector<Value>{std::string(key)}));
  if (rows.size() != 1) return damaged(fmt::format("the store does not say its {}", key));
  BH_TRY(const auto digest, get<std::int64_t>(rows.front(), 2));
  if (digest_of(std::span(rows.front()).first(2)) != static_cast<std::uint64_t>(digest)) {
    return damaged(fmt::format("the {} does not match its digest", key));
  }
  return get<std::string>(rows.front(), 1);
}

Result<void> RunStore::check_configuration(const Json& configuration) {
  BH_TRY(const auto text, meta("configuration"));
  if (text == json_text(configuration)) return {};
  const auto there = parse_json(text);
  return Error{ErrorCode::kBadInput,
               fmt::format("the folder holds an evaluation with another configuration: {}",
                           difference(there.ok() && there->is_object() ? *there : Json::object(), configuration)),
               folder_.path().string(), "choose another folder, or the same model, data set and options"};
}

// All rows, by key, each compared with its digest, and all together with the store's.
Result<std::vector<Row>> RunStore::rows() {
  BH_TRY(auto rows,
         database_.run(fmt::format("SELECT {}, digest FROM cell ORDER BY conversation, condition, item", kColumns)));
  std::uint64_t sum = 0;
  for (const auto& row : rows) {
    const auto digest = digest_of(std::span(row).first(kColumnCount));
    BH_TRY(const auto said, get<std::int64_t>(row, kColumnCount));
    if (digest != static_cast<std::uint64_t>(said)) {
      return damaged(fmt::format("row {} of {} does not match its digest", &row - rows.data() + 1, rows.size()));
    }
    sum += digest;
  }
  BH_TRY(const auto said, meta("seal"));
  if (const auto found = seal_of(rows.size(), sum); found != said) {
    return damaged(fmt::format("the store says {}, and holds {}", said, found));
  }
  digest_ = sum;
  return rows;
}

Result<void> RunStore::read_keys() {
  BH_TRY(const auto found, rows());
  for (const auto& row : found) {
    CellKey key;
    BH_TRY(key.conversation, get<std::string>(row, 0));
    BH_TRY(key.condition, get<std::string>(row, 1));
    BH_TRY(key.item, get<std::string>(row, 2));
    keys_.insert(std::move(key));
  }
  return {};
}

Result<void> RunStore::add(const Cell& cell) {
  std::vector<Value> row = {cell.key.conversation,
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
  const auto digest = digest_of(row);
  row.emplace_back(static_cast<std::int64_t>(digest));
  std::string places;
  for (std::size_t i = 1; i <= row.size(); ++i) places += fmt::format("{}?{}", i == 1 ? "" : ", ", i);
  BH_CHECK(database_.run_together(
      std::vector<Statement>{{fmt::format("INSERT INTO cell({}, digest) VALUES({})", kColumns, places), std::move(row)},
                             put_meta("seal", seal_of(keys_.size() + 1, digest_ + digest))}));
  digest_ += digest;
  keys_.insert(cell.key);
  return {};
}

Result<std::vector<Cell>> RunStore::cells() {
  const auto found = rows();
  if (!found.ok()) return as_damage(found.error(), folder_.path());
  std::vector<Cell> cells;
  for (const auto& row : found.value()) {
    auto cell = read_cell(row);
    if (!cell.ok()) return as_damage(cell.error(), folder_.path());
    cells.push_back(std::move(cell).value());
  }
  return cells;
}

}  // namespace bulkhead::eval
