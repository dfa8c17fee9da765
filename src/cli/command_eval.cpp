// SPDX-License-Identifier: MIT
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress_line.h"
#include "cli/session.h"
#include "dataset/dataset.h"
#include "engines/builtin.h"
#include "eval/comparison.h"
#include "eval/evaluation.h"
#include "eval/evaluation_condition.h"
#include "eval/evaluation_summary.h"
#include "models/model_files.h"
#include "store/safe_file.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>

namespace bulkhead::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  CommonFlags common;
  ModelFlags model;
  std::string dataset;
  std::string format;
  std::string folder;
  std::string analysis;
  eval::EvaluationOptions options;
};

// "evaluation, 12 min left": from the time that the cells so far took.
std::string time_left(Clock::time_point begin, std::uint64_t done, std::uint64_t total) {
  if (done == 0) return "evaluation";
  const auto elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
  const auto left = elapsed / static_cast<double>(done) * static_cast<double>(total - done);
  constexpr double kMinute = 60;
  constexpr double kHour = 3600;
  if (left < kMinute) return fmt::format("evaluation, {:.0f} s left", left);
  if (left < kHour) return fmt::format("evaluation, {:.0f} min left", left / kMinute);
  return fmt::format("evaluation, {:.1f} h left", left / kHour);
}

Result<Json> document_of(eval::RunStore& store, const Json& configuration, const eval::AnalysisPlan& plan,
                         bool complete) {
  BH_TRY(const auto cells, store.cells());
  BH_TRY(auto analysis, eval::compare(cells, plan));
  analysis["plan_sha256"] = plan.sha256;
  return Json{{"schema", "bulkhead-eval-1"}, {"configuration", configuration},       {"complete", complete},
              {"cells", cells.size()},       {"conditions", eval::summarize(cells)}, {"analysis", std::move(analysis)}};
}

// The summary, also after an interruption: then `complete` is false.
Result<Json> evaluate(Flags& flags, ProgressLine& line) {
  BH_TRY(const auto dataset, dataset::load_dataset(flags.dataset));
  eval::AnalysisPlan plan;
  if (!flags.analysis.empty()) {
    BH_TRY(plan, eval::read_analysis_plan(flags.analysis));
  }
  BH_TRY(const auto model, flags.model.resolve());
  BH_TRY(const auto engine, engines::builtin_engines().make(model));
  const auto& facts = engine->facts();
  const std::string format_name = !flags.format.empty() ? flags.format : facts.chat_template ? "bulkhead" : "raw";
  BH_TRY(const auto format, prompt::load_format(format_name));
  std::string model_sha256;
  if (!facts.model_path.empty()) {
    BH_TRY(model_sha256, models::model_sha256(facts.model_path));
  }
  const auto configuration = eval::evaluation_configuration(facts, model_sha256, dataset, format, flags.options.seed);
  BH_TRY(auto store, eval::RunStore::open(flags.folder, configuration));
  flags.options.cancel = stop_on_signal();
  flags.options.progress = [&, begin = Clock::now()](std::uint64_t done, std::uint64_t total) {
    line.update(time_left(begin, done, total), done, total, "cells");
  };
  const auto evaluated = eval::evaluate(*engine, dataset, format, flags.options, store);
  if (!evaluated.ok() && evaluated.error().code != ErrorCode::kInterrupted) return evaluated.error();
  BH_TRY(auto document, document_of(store, configuration, plan, evaluated.ok()));
  const auto path = std::filesystem::path(flags.folder) / "summary.json";
  BH_CHECK(store::write_file_atomically(path, document.dump(1) + '\n'));
  return document;
}

int run_eval(Flags& flags) {
  apply_verbosity(flags.common);
  const bool silent = flags.common.quiet || flags.common.progress == "never";
  ProgressLine line(silent ? ProgressLine::Mode::kNever : ProgressLine::Mode::kAuto);
  const auto document = evaluate(flags, line);
  line.finish();
  if (!document.ok()) return print_error(document.error(), flags.common);
  const bool json = flags.common.json || flags.common.output == "json";
  fmt::print("{}", json ? document->dump(1) + '\n' : eval::summary_table((*document)["conditions"]));
  if (!flags.common.quiet) fmt::print(stderr, "cells: {}/cells.sqlite\n", flags.folder);
  if ((*document)["complete"].get<bool>()) return 0;
  fmt::print(stderr, "bulkhead: stopped; the same command goes on from here\n");
  const int by_signal = signal_exit_code();
  return by_signal != 0 ? by_signal : exit_code(ErrorCode::kIncomplete);
}

}  // namespace

Command add_eval(CLI::App& program) {
  auto flags = std::make_shared<Flags>();
  auto* command = program.add_subcommand("eval", "Measure what isolation changes, over a data set of conversations.");
  std::string known;
  for (const auto& one : eval::evaluation_conditions()) known += (known.empty() ? "" : ", ") + std::string(one.name);
  command->add_option("dataset", flags->dataset, "JSON lines of ours, ShareGPT, or a scenario file")->required();
  command->add_option("--out", flags->folder, "folder of this evaluation; one that is there is gone on with")
      ->required();
  command->add_option("--format", flags->format,
                      "how turns become text; default: the model's chat template, raw text for base models");
  command->add_option("--conditions", flags->options.conditions, fmt::format("which of {} (all)", known))
      ->delimiter(',');
  command
      ->add_option("--kinds", flags->options.kinds,
                   "which of own, updated, absent, relay, compare, sum, reference (all)")
      ->delimiter(',');
  command
      ->add_option("--conversations", flags->options.conversations,
                   "so many of them, evenly spaced over the data set; 0: all")
      ->capture_default_str();
  command->add_option("-s,--seed", flags->options.seed, "of the conditions that draw: random_clusters, filler")
      ->capture_default_str();
  command->add_option("--analysis", flags->analysis,
                      "hypotheses and margins fixed beforehand, such as datasets/bulkhead-bench/analysis.json");
  add_model_flags(*command, flags->model);
  add_common_flags(*command, flags->common);
  return [flags] { return run_eval(*flags); };
}

}  // namespace bulkhead::cli
