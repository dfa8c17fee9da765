// SPDX-License-Identifier: MIT
// Database: one SQLite file. What a killed program had written stays; nothing is half there.
//
// Thread rule: one thread at a time per object.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

struct sqlite3;

namespace bulkhead::database {

using Value = std::variant<std::monostate, std::int64_t, double, std::string>;  // monostate: NULL
using Row = std::vector<Value>;

struct Statement {
  std::string sql;
  std::vector<Value> parameters = {};
};

class Database {
 public:
  // Opens or creates `path` with a write-ahead log (WAL; synchronous NORMAL: after a power cut the last transactions
  // may be gone, the rest is whole). kResource: it cannot be opened, or is a symbolic link, a FIFO or a device;
  // kCorrupt: it is no database, or a damaged one.
  [[nodiscard]] static Result<Database> open(const std::filesystem::path& path);

  // Runs one statement with its parameters (?1, ?2, ...) in a transaction of its own, and gives all rows. kResource:
  // disk full, locked by another, not writable; kCorrupt: damaged; kInternal: the statement itself is wrong or breaks a
  // constraint. After a failure the database is as before.
  [[nodiscard]] Result<std::vector<Row>> run(const std::string& sql, std::span<const Value> parameters = {});

  // Runs the statements, in their order, in one transaction: all or none. Errors as of run().
  [[nodiscard]] Result<void> run_together(std::span<const Statement> statements);

  // Looks at the whole file: its pages, and whether tables and indexes say the same. kCorrupt when it is damaged.
  [[nodiscard]] Result<void> check();

 private:
  struct Close {
    void operator()(sqlite3* handle) const noexcept;
  };
  Database(std::unique_ptr<sqlite3, Close> handle, std::string place)
      : handle_(std::move(handle)), place_(std::move(place)) {}

  std::unique_ptr<sqlite3, Close> handle_;
  std::string place_;
};

}  // namespace bulkhead::database
