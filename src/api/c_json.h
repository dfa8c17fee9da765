// SPDX-License-Identifier: MIT
// Options and results of <bulkhead/c.h> as JSON.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <bulkhead/model.h>

#include <string_view>
#include <vector>

namespace bulkhead {

// kBadInput names the field that is unknown, of another type or out of its type's range. Whether values make sense
// together is for whom they are handed to.
[[nodiscard]] Result<ModelOptions> read_model_options(std::string_view json);
[[nodiscard]] Result<PartitionOptions> read_partition_options(std::string_view json);
[[nodiscard]] Result<OwnerBudget> read_budget(std::string_view json);
// One for all, or one for each.
[[nodiscard]] Result<std::vector<GenerateOptions>> read_generate_options(std::string_view json);

[[nodiscard]] Json shown(const Result<Generation>& result);
[[nodiscard]] Json shown(const PartitionUsage& usage);
[[nodiscard]] Json shown(const Message& message);

}  // namespace bulkhead
