// SPDX-License-Identifier: MIT
// Run store: the cells of an evaluation in a folder (cells.sqlite), so that a killed one goes on where it stopped.
//
// Every row carries a digest of all its columns, and the store one of all rows, which are compared whenever cells are
// read: a bit that was changed anywhere is found, and so is a row that is gone. They find damage; they do not stop a
// forger, who can compute them anew.
//
// Thread rule: one thread at a time. One process at a time: the folder is locked.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "database/database.h"
#include "eval/cell.h"
#include "store/sealed_folder.h"

#include <cstdint>
#include <filesystem>
#include <set>
#include <string_view>
#include <vector>

namespace bulkhead::eval {

// Kinds of sealed folders (store/sealed_folder.h) that hold a store.
inline constexpr std::string_view kEvaluationFolder = "evaluation";
inline constexpr std::string_view kJudgementFolder = "judgement";

class RunStore {
 public:
  // Opens or creates the store of an evaluation in `folder` (created if missing). `configuration` is all that decides
  // about a cell's numbers, as a flat object. kBadInput: the folder holds an evaluation with another configuration (the
  // first field that differs is named with both values); kUsage: it holds something else; kResource: locked by another
  // process, not writable; kCorrupt: a damaged file, or one of another schema version.
  [[nodiscard]] static Result<RunStore> open(const std::filesystem::path& folder, const Json& configuration,
                                             std::string_view kind = kEvaluationFolder);

  // The clock of the evaluation in `folder`, for the engine that goes on with it; empty: there is none, or none said.
  // Errors as those of reading its file.
  [[nodiscard]] static Result<std::string> recorded_clock(const std::filesystem::path& folder);

  [[nodiscard]] bool has(const CellKey& key) const { return keys_.contains(key); }
  [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }

  // Adds a cell, whole or not at all; it is there after the program was killed. kInternal when the key is there
  // already.
  [[nodiscard]] Result<void> add(const Cell& cell);

  // All cells, by key. kCorrupt when one was damaged or is gone.
  [[nodiscard]] Result<std::vector<Cell>> cells();

  // The folder, for the documents beside the store.
  [[nodiscard]] store::SealedFolder& folder() noexcept { return folder_; }

 private:
  RunStore(store::SealedFolder folder, database::Database database)
      : folder_(std::move(folder)), database_(std::move(database)) {}
  [[nodiscard]] Result<void> open_tables(const Json& configuration);
  [[nodiscard]] Result<void> create(const Json& configuration);
  [[nodiscard]] Result<void> check_configuration(const Json& configuration);
  [[nodiscard]] Result<std::vector<database::Row>> rows();
  [[nodiscard]] Result<void> read_keys();
  [[nodiscard]] Result<std::string> meta(std::string_view key);

  store::SealedFolder folder_;
  database::Database database_;
  std::set<CellKey> keys_;
  std::uint64_t digest_ = 0;  // of all rows: the sum of theirs
};

}  // namespace bulkhead::eval
