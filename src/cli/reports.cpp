// SPDX-License-Identifier: MIT
#include "cli/reports.h"

#include "base/console.h"
#include "eval/evaluation_summary.h"
#include "report/csv.h"
#include "report/evaluation_markdown.h"
#include "report/html.h"
#include "report/markdown.h"
#include "report/table.h"
#include "store/safe_file.h"

#include <fmt/format.h>

#include <filesystem>

namespace bulkhead::cli {

namespace {

Result<void> write_pair(const std::string& folder, const std::string& markdown, const std::string& html) {
  const std::filesystem::path path(folder);
  BH_CHECK(store::write_file_atomically(path / "report.md", markdown));
  return store::write_file_atomically(path / "report.html", html);
}

std::string form_of(const CommonFlags& flags) {
  return flags.json ? "json" : flags.output;
}

}  // namespace

Result<void> write_reports(const Json& results, const std::string& folder) {
  BH_TRY(const auto html, report::to_html(results));
  return write_pair(folder, report::to_markdown(results), html);
}

Result<void> write_evaluation_reports(const Json& evaluation, const std::string& folder) {
  BH_TRY(const auto html, report::evaluation_html(evaluation));
  return write_pair(folder, report::evaluation_markdown(evaluation), html);
}

void print_results(const Json& results, const CommonFlags& flags) {
  const auto form = form_of(flags);
  if (form == "json")
    console::print_data(json_text(results, JsonForm::kPretty) + '\n');
  else if (form == "md")
    console::print("{}", report::to_markdown(results));
  else if (form == "csv")
    console::print_data(report::to_csv(results));
  else
    console::print("{}", report::to_table(results));
}

void print_evaluation(const Json& evaluation, const CommonFlags& flags) {
  const auto form = form_of(flags);
  if (form == "json")
    console::print_data(json_text(evaluation, JsonForm::kPretty) + '\n');
  else if (form == "md")
    console::print("{}", report::evaluation_markdown(evaluation));
  else if (form == "csv")
    console::print_data(report::evaluation_csv(evaluation));
  else
    console::print("{}", eval::summary_table(evaluation["conditions"]));
}

}  // namespace bulkhead::cli
