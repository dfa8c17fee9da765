// SPDX-License-Identifier: MIT
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress_line.h"
#include "cli/session.h"
#include "engines/builtin.h"
#include "verify/campaign.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

namespace bulkhead::cli {
namespace {

constexpr std::uint64_t kFakeTraces = 10000;
constexpr std::uint64_t kTraces = 300;
constexpr std::uint64_t kQuickFakeTraces = 2000;
constexpr std::uint64_t kQuickTraces = 3;

struct Flags {
  CommonFlags common;
  ModelFlags model;
  std::string trace;
  std::optional<std::uint64_t> traces;
  std::uint64_t seed = 1;
  bool quick = false;
};

Result<ModelOptions> model_options(const Flags& flags) {
  BH_TRY(auto options, flags.model.resolve());
  // The fake engine needs no file; -m mutant:ID breaks it on purpose.
  if (options.engine == "fake") options.path = flags.model.model;
  return options;
}

std::uint64_t traces_to_run(const Flags& flags) {
  if (flags.traces) return *flags.traces;
  const bool fake = flags.model.options.engine == "fake";
  if (flags.quick) return fake ? kQuickFakeTraces : kQuickTraces;
  return fake ? kFakeTraces : kTraces;
}

Result<verify::Campaign> run_checks(const Flags& flags, const verify::MakeEngine& make_engine, ProgressLine& line) {
  if (!flags.trace.empty()) {
    BH_TRY(auto text, read_text_file(flags.trace));
    BH_TRY(const auto document, JsonDocument::parse(std::move(text), flags.trace));
    BH_TRY(const auto trace, verify::trace_from_json(JsonView(document)));
    return verify::replay_trace(trace, make_engine);
  }
  verify::CampaignOptions options;
  options.traces = traces_to_run(flags);
  options.seed = flags.seed;
  // A try on a real model loads its weights once for each partition.
  if (flags.model.options.engine != "fake") options.shrink_tries = flags.quick ? 4 : 100;
  options.cancel = stop_on_signal();
  options.progress = [&](std::uint64_t done) { line.update("random traces", done, options.traces, "traces"); };
  return verify::run_campaign(make_engine, options);
}

Json report_json(const verify::Campaign& campaign, const engine::Facts& facts) {
  Json checks = Json::array();
  for (const auto& check : campaign.checks) checks.push_back(verify::to_json(check));
  return {{"verdict", verify::name(verify::verdict_of(campaign.checks))},
          {"engine", facts.engine},
          {"model", facts.model_name},
          {"grade", engine::name(facts.grade)},
          {"traces", campaign.traces},
          {"checks", checks},
          {"failing_trace", campaign.failing ? verify::to_json(*campaign.failing) : Json(nullptr)},
          {"failing_trace_is_minimal", campaign.minimal}};
}

void print_report(const Json& report) {
  fmt::print("{} {}, grade {}: {} traces\n", report["engine"].get<std::string>(), report["model"].get<std::string>(),
             report["grade"].get<std::string>(), report["traces"].get<std::uint64_t>());
  for (const auto& check : report["checks"]) {
    fmt::print("  {:14}{:13}{} compared, {} with a difference; control {}\n", check["name"].get<std::string>(),
               check["verdict"].get<std::string>(), check["compared"].get<std::uint64_t>(),
               check["differences"].get<std::uint64_t>(),
               check["control_caught"].get<bool>() ? "caught" : "NOT CAUGHT");
    if (!check["first_difference"].is_null()) fmt::print("    {}\n", check["first_difference"].get<std::string>());
  }
  if (!report["failing_trace"].is_null()) {
    fmt::print("the first failing trace, made small (replay with --trace FILE):\n{}\n",
               report["failing_trace"].dump(-1, ' ', true));
  }
  fmt::print("verdict: {}\n", report["verdict"].get<std::string>());
}

int exit_code_of(verify::Verdict verdict) {
  switch (verdict) {
    case verify::Verdict::kClean: return 0;
    case verify::Verdict::kInterference: return exit_code(ErrorCode::kInterference);
    case verify::Verdict::kVacuous: break;
  }
  return exit_code(ErrorCode::kIncomplete);
}

int verify_command(const Flags& flags) {
  apply_verbosity(flags.common);
  const auto options = model_options(flags);
  if (!options.ok()) return print_error(options.error(), flags.common);
  const verify::MakeEngine make_engine = [&] { return engines::builtin_engines().make(options.value()); };
  const auto first = make_engine();
  if (!first.ok()) return print_error(first.error(), flags.common);
  ProgressLine line(flags.common.quiet || flags.common.progress == "never" ? ProgressLine::Mode::kNever
                                                                           : ProgressLine::Mode::kAuto);
  const auto campaign = run_checks(flags, make_engine, line);
  line.finish();
  if (!campaign.ok()) return print_error(campaign.error(), flags.common);
  const auto report = report_json(campaign.value(), first.value()->facts());
  if (flags.common.json) {
    fmt::print("{}\n", report.dump(1));
  } else {
    print_report(report);
  }
  return exit_code_of(verify::verdict_of(campaign.value().checks));
}

}  // namespace

Command add_verify(CLI::App& program) {
  auto flags = std::make_shared<Flags>();
  auto* command = program.add_subcommand(
      "verify", "Try to refute isolation: random traces, each partition held against a run of its own alone.");
  add_model_flags(*command, flags->model);
  command->add_option("--traces", flags->traces, "random traces; default: 300, with --quick 3 (fake: 10000, 2000)")
      ->check(CLI::Range(1, 100000000));
  command->add_option("-s,--seed", flags->seed, "seed of the first trace; the next ones are +1, +2, ...")
      ->capture_default_str();
  command->add_option("--trace", flags->trace, "replay this one trace in place of random ones");
  command->add_flag("--quick", flags->quick, "fewer traces");
  command->add_flag("--json", flags->common.json, "machine-readable output on stdout");
  command->add_flag("-q,--quiet", flags->common.quiet, "errors only on stderr");
  command->add_flag("-v,--verbose", flags->common.verbose, "more on stderr; twice for the engine's own log");
  return [flags] { return verify_command(*flags); };
}

}  // namespace bulkhead::cli
