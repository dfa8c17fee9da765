// SPDX-License-Identifier: MIT
#include "cli/reports.h"

#include "report/csv.h"
#include "report/html.h"
#include "report/markdown.h"
#include "report/table.h"
#include "store/safe_file.h"

#include <fmt/format.h>

#include <filesystem>

namespace bulkhead::cli {

Result<void> write_reports(const Json& results, const std::string& folder) {
  const std::filesystem::path path(folder);
  BH_TRY(const auto html, report::to_html(results));
  BH_CHECK(store::write_file_atomically(path / "report.md", report::to_markdown(results)));
  return store::write_file_atomically(path / "report.html", html);
}

void print_results(const Json& results, const CommonFlags& flags) {
  const auto form = flags.json ? std::string("json") : flags.output;
  if (form == "json")
    fmt::print("{}\n", results.dump(1));
  else if (form == "md")
    fmt::print("{}", report::to_markdown(results));
  else if (form == "csv")
    fmt::print("{}", report::to_csv(results));
  else
    fmt::print("{}", report::to_table(results));
}

}  // namespace bulkhead::cli
