// SPDX-License-Identifier: MIT
#include "cli/command.h"
#include "cli/reports.h"
#include "report/results.h"

#include <memory>

namespace bulkhead::cli {
namespace {

struct Flags {
  CommonFlags common;
  std::string folder;
};

int report(const Flags& flags) {
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
  auto* command = program.add_subcommand("report", "Draw the reports of a run folder anew.");
  command->add_option("folder", flags->folder, "run folder")->required();
  add_common_flags(*command, flags->common);
  return [flags] { return report(*flags); };
}

}  // namespace bulkhead::cli
