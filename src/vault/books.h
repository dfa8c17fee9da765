// SPDX-License-Identifier: MIT
// The books of an image as JSON: whose it is, what its cells fit, the ledger without its tokens, the finished output.
// docs/vault.md has the members.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "engine/snapshot.h"
#include "partition/image.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace bulkhead::vault {

struct Books {
  std::string owner;
  engine::SnapshotFit fit;
  std::int64_t saved_at = 0;            // seconds since 1970
  partition::PartitionImage partition;  // without tokens and cells
};

[[nodiscard]] std::string books_text(const Books& books);

// kCorrupt for anything that books_text() does not write.
[[nodiscard]] Result<Books> books_from(std::string_view text);

}  // namespace bulkhead::vault
