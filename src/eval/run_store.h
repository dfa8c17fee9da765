// SPDX-License-Identifier: MIT
// Run store: the cells of an evaluation in a folder (cells.sqlite), so that a killed one goes on where it stopped.
//
// Thread rule: one thread at a time. One process at a time: the folder is locked.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "database/database.h"
#include "eval/cell.h"
#include "store/file_lock.h"

#include <filesystem>
#include <set>
#include <vector>

namespace bulkhead::eval {

class RunStore {
 public:
  // Opens or creates the store of an evaluation in `folder` (created if missing). `configuration` is all that decides
  // about a cell's numbers, as a flat object. kBadInput: the folder holds an evaluation with another configuration (the
  // first field that differs is named with both values) or one of another schema version; kResource: locked by another
  // process, not writable; kCorrupt: a damaged file.
  [[nodiscard]] static Result<RunStore> open(const std::filesystem::path& folder, const Json& configuration);

  // The clock of the evaluation in `folder`, for the engine that goes on with it; empty: there is none, or none said.
  // Errors as those of reading its file.
  [[nodiscard]] static Result<std::string> recorded_clock(const std::filesystem::path& folder);

  [[nodiscard]] bool has(const CellKey& key) const { return keys_.contains(key); }
  [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }

  // Adds a cell, whole or not at all; it is there after the program was killed. kInternal when the key is there
  // already.
  [[nodiscard]] Result<void> add(const Cell& cell);

  // All cells, by key. kCorrupt when one cannot be read.
  [[nodiscard]] Result<std::vector<Cell>> cells();

 private:
  RunStore(store::FileLock lock, database::Database database)
      : lock_(std::move(lock)), database_(std::move(database)) {}
  [[nodiscard]] Result<void> create(const Json& configuration);
  [[nodiscard]] Result<void> check_configuration(const Json& configuration, const std::filesystem::path& folder);
  [[nodiscard]] Result<void> complete_columns();
  [[nodiscard]] Result<void> read_keys();

  store::FileLock lock_;
  database::Database database_;
  std::set<CellKey> keys_;
};

}  // namespace bulkhead::eval
