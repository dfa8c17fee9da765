// SPDX-License-Identifier: MIT
// Cells as records, for spreadsheets and scripts: cells.csv.
#pragma once

#include "eval/cell.h"

#include <string>
#include <vector>

namespace bulkhead::eval {

// CSV (RFC 4180): a header line, then one line for each cell in the given order. `chosen`, its cluster and its standing
// are of the candidate with the highest log probability per token, `standing_by_total` is of the highest in total;
// `log_probability` (natural, of all tokens) and `tokens` are the chosen candidate's, of a reference its own. The
// columns from `output` on are those of outputs only (eval/output.h), and an output has no others of its own.
[[nodiscard]] std::string to_csv(const std::vector<Cell>& cells);

}  // namespace bulkhead::eval
