// SPDX-License-Identifier: MIT
// Results documents, and every report that is drawn from one.
#include "fuzz/input.h"

#include "report/csv.h"
#include "report/html.h"
#include "report/markdown.h"
#include "report/results.h"
#include "report/table.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  const auto document = JsonDocument::parse(std::string(fuzz::text(data, size)), "results.json");
  if (!document.ok() || !report::check_results(document->root()).ok()) return 0;
  const auto& results = document->root();
  fuzz::require(!report::to_table(results).empty());
  fuzz::require(!report::to_markdown(results).empty());
  fuzz::require(!report::to_csv(results).empty());
  static_cast<void>(report::to_html(results));
  return 0;
}
