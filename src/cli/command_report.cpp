// SPDX-License-Identifier: MIT
#include "cli/command.h"
#include "cli/reports.h"
#include "eval/cells_csv.h"
#include "eval/run_store.h"
#include "report/evaluation_document.h"
#include "report/results.h"
#include "store/safe_file.h"

#include <filesystem>
#include <memory>

namespace bulkhead::cli {
namespace {

struct Flags {
  CommonFlags common;
  std::string folder;
};

// cells.csv, where the cells are: a published folder may hold the summary alone.
Result<void> write_cells(const std::filesystem::path& folder, const Json& configuration) {
  std::error_code problem;
  if (!std::filesystem::is_regular_file(folder / "cells.sqlite", problem)) return {};
  BH_TRY(auto store, eval::RunStore::open(folder, configuration));
  BH_TRY(const auto cells, store.cells());
  return store::write_file_atomically(folder / "cells.csv", eval::to_csv(cells));
}

Result<Json> redraw_evaluation(const std::string& folder) {
  BH_TRY(auto evaluation, report::read_evaluation(folder));
  BH_CHECK(write_cells(folder, evaluation["configuration"]));
  BH_CHECK(write_evaluation_reports(evaluation, folder));
  return evaluation;
}

int report_evaluation(const Flags& flags) {
  const auto evaluation = redraw_evaluation(flags.folder);
  if (!evaluation.ok()) return print_error(evaluation.error(), flags.common);
  print_evaluation(evaluation.value(), flags.common);
  return 0;
}

int report(const Flags& flags) {
  if (report::holds_evaluation(flags.folder)) return report_evaluation(flags);
  const auto results = report::read_results(flags.folder);
  if (!results.ok()) return print_error(results.error(), flags.common);
  if (const auto written = write_reports(results.value(), flags.folder); !written.ok()) {
    return print_error(written.error(), flags.common);
  }
  print_results(results.value(), flags.common);
  return 0;
}

}  // namespace

Command add_report(CLI::App& program) {
  auto flags = std::make_shared<Flags>();
  auto* command = program.add_subcommand("report", "Draw the reports of a run or an evaluation anew.");
  command->add_option("folder", flags->folder, "folder of a run or an evaluation")->required();
  add_common_flags(*command, flags->common);
  return [flags] { return report(*flags); };
}

}  // namespace bulkhead::cli
