// SPDX-License-Identifier: MIT
#include "eval/cells_csv.h"

#include "report/csv_line.h"

#include <fmt/format.h>

namespace bulkhead::eval {

std::string to_csv(const std::vector<Cell>& cells) {
  std::string out = report::csv_line({"conversation", "condition", "item", "domain", "difficulty", "kind", "cluster",
                                      "context", "context_tokens", "item_tokens", "seconds", "chosen", "chosen_cluster",
                                      "standing", "standing_by_total", "log_probability", "tokens"});
  for (const auto& cell : cells) {
    const bool reference = cell.kind == kReferenceKind;
    const auto& best = chosen(cell, Scoring::kPerToken);
    const auto& by_total = chosen(cell, Scoring::kTotal);
    out += report::csv_line({cell.key.conversation, cell.key.condition, cell.key.item, cell.domain,
                             std::to_string(cell.difficulty), cell.kind, cell.cluster, cell.context,
                             std::to_string(cell.context_tokens), std::to_string(cell.item_tokens),
                             fmt::format("{:.6f}", cell.seconds), reference ? std::string() : best.value, best.cluster,
                             reference ? std::string() : std::string(name(best.standing)),
                             reference ? std::string() : std::string(name(by_total.standing)),
                             fmt::format("{}", best.log_probability), std::to_string(best.tokens)});
  }
  return out;
}

}  // namespace bulkhead::eval
