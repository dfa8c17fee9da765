// SPDX-License-Identifier: MIT
#include "cli/command.h"
#include "cli/reports.h"
#include "eval/cells_csv.h"
#include "eval/run_store.h"
#include "report/evaluation_document.h"
#include "report/results.h"
#include "store/folder_seal.h"
#include "store/sealed_folder.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

namespace bulkhead::cli {
namespace {

struct ReportFlags {
  CommonFlags common;
  std::string folder;
};

using Existing = store::SealedFolder::Existing;

// Every document of the folder is what its manifest says, before one of them is drawn from.
Result<void> check_seal(const std::filesystem::path& folder) {
  BH_TRY(const auto seal, store::FolderSeal::read(folder));
  return seal.check();
}

// The evaluation's cells. Those of the summary must all be there; after it was written more may have come.
Result<std::vector<eval::Cell>> cells_of(eval::RunStore& store, const Json& evaluation) {
  BH_TRY(auto cells, store.cells());
  const auto summarized = evaluation["cells"].get<std::uint64_t>();
  if (cells.size() >= summarized) return cells;
  return Error{ErrorCode::kCorrupt,
               fmt::format("the store holds {} cells; {} were summarized", cells.size(), summarized),
               (store.folder().path() / "cells.sqlite").string(),
               "give the same `bulkhead eval` again: it computes what is missing"};
}

Result<Json> redraw_evaluation(const std::string& folder) {
  BH_TRY(auto evaluation, report::read_evaluation(folder));
  BH_CHECK(check_seal(folder));
  BH_TRY(auto drawn, evaluation_reports(evaluation));
  std::error_code problem;
  // A published folder may hold the summary alone.
  if (!std::filesystem::exists(std::filesystem::path(folder) / "cells.sqlite", problem)) {
    BH_TRY(auto sealed, store::SealedFolder::open(folder, std::string(eval::kEvaluationFolder), Existing::kContinue));
    BH_CHECK(sealed.add(std::move(drawn)));
    return evaluation;
  }
  BH_TRY(auto store, eval::RunStore::open(folder, evaluation["configuration"]));
  BH_TRY(const auto cells, cells_of(store, evaluation));
  drawn["cells.csv"] = eval::to_csv(cells);
  BH_CHECK(store.folder().add(std::move(drawn)));
  return evaluation;
}

Result<Json> redraw_run(const std::string& folder) {
  BH_TRY(auto results, report::read_results(folder));
  BH_TRY(auto sealed, store::SealedFolder::open(folder, "run", Existing::kContinue));
  BH_CHECK(check_seal(folder));
  BH_CHECK(write_reports(results, sealed));
  return results;
}

int report_evaluation(const ReportFlags& flags) {
  const auto evaluation = redraw_evaluation(flags.folder);
  if (!evaluation.ok()) return print_error(evaluation.error(), flags.common);
  print_evaluation(evaluation.value(), flags.common);
  return 0;
}

int report(const ReportFlags& flags) {
  if (report::holds_evaluation(flags.folder)) return report_evaluation(flags);
  const auto results = redraw_run(flags.folder);
  if (!results.ok()) return print_error(results.error(), flags.common);
  print_results(results.value(), flags.common);
  return 0;
}

}  // namespace

Command add_report(CLI::App& program) {
  auto flags = std::make_shared<ReportFlags>();
  auto* command = program.add_subcommand("report", "Draw the reports of a run or an evaluation anew.");
  command->add_option("folder", flags->folder, "folder of a run or an evaluation")->required();
  add_common_flags(*command, flags->common);
  return [flags] { return report(*flags); };
}

}  // namespace bulkhead::cli
