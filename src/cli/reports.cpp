// SPDX-License-Identifier: MIT
#include "cli/reports.h"

#include "base/console.h"
#include "eval/evaluation_summary.h"
#include "report/csv.h"
#include "report/evaluation_markdown.h"
#include "report/html.h"
#include "report/markdown.h"
#include "report/table.h"

#include <fmt/format.h>

#include <utility>

namespace bulkhead::cli {

namespace {

std::string form_of(const CommonFlags& flags) {
  return flags.json ? "json" : flags.output;
}

}  // namespace

Result<void> write_reports(const Json& results, store::SealedFolder& folder) {
  BH_TRY(auto html, report::to_html(results));
  return folder.add({{"report.md", report::to_markdown(results)}, {"report.html", std::move(html)}});
}

Result<std::map<std::string, std::string>> evaluation_reports(const Json& evaluation) {
  BH_TRY(auto html, report::evaluation_html(evaluation));
  return std::map<std::string, std::string>{{"report.md", report::evaluation_markdown(evaluation)},
                                            {"report.html", std::move(html)}};
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
