// SPDX-License-Identifier: MIT
// A partition as plain values: all that it is, for what outlives it and its process. A partition is always restorable
// from the tokens of its ledger; cells only save computing them again.
#pragma once

#include "base/result.h"
#include "engine/snapshot.h"
#include "partition/ledger.h"
#include "partition/surplus.h"

#include <optional>
#include <string>

namespace bulkhead::partition {

struct PartitionImage {
  std::string name;
  Ledger ledger;
  std::optional<Surplus> surplus;            // of the last generation (surplus.h)
  std::optional<std::string> finished_text;  // the output that may be sent, if there is one
  std::optional<engine::Snapshot> cells;     // none: they are computed from the tokens
};

// Whether a partition could be so, whoever wrote it. kCorrupt says what contradicts what.
[[nodiscard]] Result<void> check_books(const PartitionImage& image);

}  // namespace bulkhead::partition
