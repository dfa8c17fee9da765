// SPDX-License-Identifier: MIT
#include "base/console.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/session.h"
#include "plan/plan.h"

#include <fmt/format.h>

#include <memory>

namespace bulkhead::cli {
namespace {

struct PlanFlags {
  CommonFlags common;
  ModelFlags model;
  ExperimentFlags experiment;
};

int plan_command(const PlanFlags& flags) {
  apply_verbosity(flags.common);
  const auto session = open_session(flags.model, flags.experiment);
  if (!session.ok()) return print_error(session.error(), flags.common);
  Json list = Json::array();
  for (const auto& scenario : session.value().scenarios) {
    const auto plan = plan::make_plan(scenario, session.value().format, session.value().engine->tokenizer(),
                                      flags.experiment.settings());
    if (!plan.ok()) return print_error(plan.error(), flags.common);
    if (flags.common.json)
      list.push_back(plan::to_json(plan.value()));
    else
      console::print("{}", plan::to_text(plan.value()));
  }
  if (flags.common.json) console::print_data(json_text(list.size() == 1 ? list[0] : list, JsonForm::kPretty) + '\n');
  return 0;
}

}  // namespace

Command add_plan(CLI::App& program) {
  auto flags = std::make_shared<PlanFlags>();
  auto* command =
      program.add_subcommand("plan", "Print every step of a run with its token count; nothing is computed.");
  add_experiment_flags(*command, flags->experiment);
  add_model_flags(*command, flags->model);
  command->add_flag("--json", flags->common.json, "machine-readable output on stdout");
  command->add_flag("-v,--verbose", flags->common.verbose, "more on stderr; twice for the engine's own log");
  return [flags] { return plan_command(*flags); };
}

}  // namespace bulkhead::cli
