// SPDX-License-Identifier: MIT
// The figures of the report this project was started from, as data: they stand beside ours, and nothing is computed
// from them.
#pragma once

#include "base/json.h"

namespace bulkhead::compare {

// data/seed_report.json, compiled in. kInternal when it is not.
[[nodiscard]] Result<Json> seed_report();

}  // namespace bulkhead::compare
