// SPDX-License-Identifier: MIT
#include "base/console.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress_line.h"
#include "cli/reports.h"
#include "cli/run_flags.h"
#include "cli/session.h"
#include "cli/transcript_file.h"
#include "engine/recording_engine.h"
#include "models/model_files.h"
#include "run/experiment.h"
#include "store/sealed_folder.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <memory>

namespace bulkhead::cli {
namespace {

Result<store::SealedFolder> run_folder(const RunFlags& flags) {
  if (!flags.folder.empty()) {
    using enum store::SealedFolder::Existing;
    return store::SealedFolder::open(flags.folder, "run", flags.force ? kReplace : kRefuse);
  }
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return store::SealedFolder::create_unique(fmt::format("runs/{:%Y%m%d-%H%M%S}", fmt::localtime(now)), "run");
}

run::ExperimentOptions experiment_options(const RunFlags& flags, const Invocation& invocation, ProgressLine& line) {
  run::ExperimentOptions options;
  options.settings = flags.experiment.settings();
  options.sampling = flags.sampling;
  options.repeat = flags.repeat;
  options.ignore_end = flags.ignore_end;
  options.speculate = !flags.no_speculation;
  options.max_sequences = flags.parallel;
  options.command = invocation.arguments;
  options.cancel = stop_on_signal();
  options.progress = [&line](const run::Progress& progress) {
    line.update(progress.what, progress.done, progress.total, "tokens");
  };
  return options;
}

int exit_code_of(const Json& results) {
  if (results["complete"].get<bool>()) return 0;
  const int by_signal = signal_exit_code();
  return by_signal != 0 ? by_signal : exit_code(ErrorCode::kIncomplete);
}

Result<Json> run_session(Session& session, run::ExperimentOptions& options) {
  auto recording = std::make_unique<engine::RecordingEngine>(std::move(session.engine));
  options.transcript = &recording->transcript();
  session.engine = std::move(recording);
  BH_TRY(const auto plans, run::prepare(*session.engine, session.scenarios, session.format, options));
  if (!session.engine->facts().model_path.empty()) {
    BH_TRY(options.model_sha256, models::model_sha256(session.engine->facts().model_path));
  }
  options.load_time = session.load_time;
  auto model = session.model;
  model.isolation = session.engine->facts().isolation;  // what was taken, so that a replay takes the same
  options.transcript_header = transcript_header(model, options.model_sha256);
  BH_TRY(auto results, run::run_experiment(*session.engine, plans, options));
  BH_CHECK(write_reports(results, *options.folder));
  return results;
}

int run_command(const RunFlags& flags, const Invocation& invocation) {
  apply_verbosity(flags.common);
  ProgressLine line(progress_mode(flags.common));
  auto options = experiment_options(flags, invocation, line);
  // The folder first: nothing is worse than a result that cannot be kept.
  auto folder = run_folder(flags);
  if (!folder.ok()) return print_error(folder.error(), flags.common);
  options.folder = &folder.value();
  auto session = open_session(flags.model, flags.experiment);
  if (!session.ok()) return print_error(session.error(), flags.common);
  const auto results = run_session(session.value(), options);
  line.finish();
  if (!results.ok()) return print_error(results.error(), flags.common);
  print_results(results.value(), flags.common);
  if (!flags.common.quiet) console::say("report: {}/report.html", folder->path().string());
  if (!results.value()["complete"].get<bool>()) {
    say_failure(fmt::format("the run is incomplete: {}", results.value()["incomplete_reason"].get<std::string>()));
  }
  return exit_code_of(results.value());
}

}  // namespace

Command add_run(CLI::App& program, const Invocation& invocation) {
  auto flags = std::make_shared<RunFlags>();
  auto* command = program.add_subcommand("run", "Run scenarios under the four conditions and report.");
  add_run_flags(*command, *flags);
  return [flags, invocation] { return run_command(*flags, invocation); };
}

}  // namespace bulkhead::cli
