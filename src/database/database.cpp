// SPDX-License-Identifier: MIT
#include "database/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <filesystem>
#include <system_error>
#include <utility>

namespace bulkhead::database {
namespace {

constexpr int kBusyMilliseconds = 10'000;

ErrorCode code_of(int result) {
  switch (result) {
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_CORRUPT: return ErrorCode::kCorrupt;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_NOMEM:
    case SQLITE_PERM: return ErrorCode::kResource;
    default: return ErrorCode::kInternal;
  }
}

Error failed(sqlite3* handle, int result, const std::string& place) {
  const std::string why = handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(result);
  return {code_of(result & 0xFF), fmt::format("the database says: {}", why), place, {}};
}

struct Finalize {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using Prepared = std::unique_ptr<sqlite3_stmt, Finalize>;

struct Bind {
  sqlite3_stmt* statement;
  int index;

  int operator()(std::monostate) const { return sqlite3_bind_null(statement, index); }
  int operator()(std::int64_t number) const { return sqlite3_bind_int64(statement, index, number); }
  int operator()(double number) const { return sqlite3_bind_double(statement, index, number); }
  // No destructor: the parameters outlive the statement.
  int operator()(const std::string& text) const {
    return sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), nullptr);
  }
};

Value column(sqlite3_stmt* statement, int index) {
  switch (sqlite3_column_type(statement, index)) {
    case SQLITE_INTEGER: return static_cast<std::int64_t>(sqlite3_column_int64(statement, index));
    case SQLITE_FLOAT: return sqlite3_column_double(statement, index);
    case SQLITE_NULL: return std::monostate();
    default: {
      const auto* text = static_cast<const char*>(sqlite3_column_blob(statement, index));
      return std::string(text == nullptr ? "" : text, static_cast<std::size_t>(sqlite3_column_bytes(statement, index)));
    }
  }
}

}  // namespace

void Database::Close::operator()(sqlite3* handle) const noexcept {
  sqlite3_close(handle);
}

Result<Database> Database::open(const std::filesystem::path& path) {
  std::error_code problem;
  const auto status = std::filesystem::symlink_status(path, problem);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return Error{ErrorCode::kResource, "is not a plain file", path.string(), "remove it, or name another folder"};
  }
  sqlite3* raw = nullptr;
  const int result = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  Database database(std::unique_ptr<sqlite3, Close>(raw), path.string());
  if (result != SQLITE_OK) return failed(raw, result, path.string());
  sqlite3_busy_timeout(raw, kBusyMilliseconds);
  for (const char* const setting : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL"}) {
    if (auto set = database.run(setting); !set.ok()) return set.error();
  }
  return database;
}

Result<std::vector<Row>> Database::run(const std::string& sql, std::span<const Value> parameters) {
  sqlite3_stmt* raw = nullptr;
  int result = sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  const Prepared statement(raw);
  if (result != SQLITE_OK) return failed(handle_.get(), result, place_);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    result = std::visit(Bind{raw, static_cast<int>(i) + 1}, parameters[i]);
    if (result != SQLITE_OK) return failed(handle_.get(), result, place_);
  }
  std::vector<Row> rows;
  while ((result = sqlite3_step(raw)) == SQLITE_ROW) {
    Row& row = rows.emplace_back();
    for (int i = 0; i < sqlite3_column_count(raw); ++i) row.push_back(column(raw, i));
  }
  if (result != SQLITE_DONE) return failed(handle_.get(), result, place_);
  return rows;
}

Result<void> Database::run_together(std::span<const Statement> statements) {
  if (auto begun = run("BEGIN IMMEDIATE"); !begun.ok()) return begun.error();
  for (const auto& [sql, parameters] : statements) {
    if (auto done = run(sql, parameters); !done.ok()) {
      static_cast<void>(run("ROLLBACK"));
      return done.error();
    }
  }
  if (auto done = run("COMMIT"); !done.ok()) {
    static_cast<void>(run("ROLLBACK"));
    return done.error();
  }
  return {};
}

Result<void> Database::check() {
  BH_TRY(const auto rows, run("PRAGMA integrity_check(1)"));
  const auto* said = rows.empty() || rows.front().empty() ? nullptr : std::get_if<std::string>(&rows.front().front());
  if (said != nullptr && *said == "ok") return {};
  return Error{
      ErrorCode::kCorrupt, fmt::format("the database is damaged: {}", said == nullptr ? "" : *said), place_, {}};
}

}  // namespace bulkhead::database
