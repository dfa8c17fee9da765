// SPDX-License-Identifier: MIT
#include "base/console.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress_line.h"
#include "cli/session.h"
#include "cli/transcript_file.h"
#include "engines/builtin.h"
#include "engines/llama/cache_guard.h"
#include "models/model_files.h"
#include "report/results.h"
#include "store/folder_seal.h"
#include "verify/campaign.h"
#include "verify/canary.h"
#include "verify/recorded_results.h"
#include "verify/surface_run.h"
#include "verify/timing.h"
#include "verify/transcript_replay.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

namespace bulkhead::cli {
namespace {

constexpr std::uint64_t kFakeTraces = 10000;
constexpr std::uint64_t kTraces = 300;
constexpr std::uint64_t kQuickFakeTraces = 2000;
constexpr std::uint64_t kQuickTraces = 10;
constexpr std::uint32_t kLongOneIn = 10;

struct VerifyFlags {
  CommonFlags common;
  ModelFlags model;
  std::string run;  // folder
  std::string trace;
  std::optional<std::uint64_t> traces;
  std::uint64_t seed = 1;
  bool quick = false;
  bool fresh_process = false;
  std::uint32_t secrets = 8;
  std::uint32_t timing_pairs = 0;
};

// What is to be checked: a run's transcript, or random traces on a model.
struct VerifySubject {
  ModelOptions model;
  std::optional<engine::Transcript> transcript;
};

// The model is the run's own; -m says where it lies now.
Result<VerifySubject> subject_of_run(const VerifyFlags& flags) {
  // A run is verified as a whole: what the replay confirms must be what the other documents say too.
  BH_TRY(const auto results, report::read_results(flags.run));
  BH_TRY(const auto seal, store::FolderSeal::read(flags.run));
  BH_CHECK(seal.check());
  BH_TRY(auto file, read_transcript(flags.run));
  BH_CHECK(verify::check_recorded_results(results, file.transcript));
  if (!flags.model.model.empty() || !flags.model.hub.empty()) {
    BH_TRY(const auto found, flags.model.resolve());
    file.model.path = found.path;
  }
  if (!file.model_sha256.empty()) {
    BH_TRY(const auto sha256, models::model_sha256(file.model.path));
    if (sha256 != file.model_sha256) {
      return Error{
          ErrorCode::kBadInput,
          fmt::format("the run was made with a model of sha256 {}, this file has {}", file.model_sha256, sha256),
          file.model.path, "name the model of the run with -m"};
    }
  }
  return VerifySubject{std::move(file.model), std::move(file.transcript)};
}

Result<ModelOptions> model_options(const VerifyFlags& flags) {
  BH_TRY(auto options, flags.model.resolve());
  // The fake engine needs no file; -m mutant:ID breaks it on purpose.
  if (options.engine == "fake") options.path = flags.model.model;
  return options;
}

std::uint64_t traces_to_run(const VerifyFlags& flags) {
  if (flags.traces) return *flags.traces;
  const bool fake = flags.model.options.engine == "fake";
  if (flags.quick) return fake ? kQuickFakeTraces : kQuickTraces;
  return fake ? kFakeTraces : kTraces;
}

Result<VerifySubject> subject_of(const VerifyFlags& flags) {
  if (!flags.run.empty()) return subject_of_run(flags);
  BH_TRY(auto model, model_options(flags));
  return VerifySubject{std::move(model), std::nullopt};
}

// The public surface: its partitions take the whole context, so that is small here.
constexpr std::uint32_t kSurfaceContext = 256;

Result<verify::Surface> surface_of(const VerifySubject& subject) {
  auto model = subject.model;
  model.context_tokens = kSurfaceContext;
  return verify::Surface::make(model);
}

// Random traces on the public surface; what they found is added to `campaign`.
Result<void> run_surface(const VerifySubject& subject, verify::CampaignOptions options, verify::Campaign& campaign) {
  if (subject.model.leaky) return {};  // a mistake of the seam, found there
  BH_TRY(auto surface, surface_of(subject));
  options.prefix = verify::kSurfacePrefix;
  options.long_one_in = 0;
  options.shape = {.surface = true};
  options.alone = {};
  BH_TRY(auto found, verify::run_campaign(surface.runner(), options));
  campaign.traces += found.traces;
  for (auto& check : found.checks) campaign.checks.push_back(std::move(check));
  if (campaign.failing || !found.failing) return {};
  campaign.failing = std::move(found.failing);
  campaign.minimal = found.minimal;
  return {};
}

Result<verify::Campaign> run_checks(const VerifyFlags& flags, const VerifySubject& subject,
                                    const verify::MakeEngine& make_engine, const verify::MakeEngine& alone,
                                    ProgressLine& line) {
  if (subject.transcript) {
    const auto progress = [&](std::uint64_t done, std::uint64_t total) {
      line.update("partitions alone", done, total, "partitions");
    };
    BH_TRY(auto check, verify::replay_transcript(*subject.transcript, alone, {stop_on_signal(), progress}));
    verify::Campaign campaign;
    campaign.checks.push_back(std::move(check));
    return campaign;
  }
  if (!flags.trace.empty()) {
    BH_TRY(auto text, read_text_file(flags.trace));
    BH_TRY(const auto document, JsonDocument::parse(std::move(text), flags.trace));
    BH_TRY(const auto trace, verify::trace_from_json(JsonView(document)));
    if (!trace.surface) return verify::replay_trace(trace, verify::on_engines(make_engine), verify::on_engines(alone));
    BH_TRY(auto surface, surface_of(subject));
    return verify::replay_trace(trace, surface.runner());
  }
  verify::CampaignOptions options;
  options.traces = traces_to_run(flags);
  options.seed = flags.seed;
  if (flags.model.options.engine != "fake") {
    // Each run of a real model takes its time.
    options.shrink_tries = flags.quick ? 4 : 100;
    // Beyond 512 cells attention takes other paths, and so do prefills in chunks.
    options.long_one_in = kLongOneIn;
    options.long_shape = {
        .most_partitions = 4, .most_actions = 14, .capacity = 2304, .long_one_in = 2, .long_words = 900};
  }
  options.alone = verify::on_engines(alone);
  options.cancel = stop_on_signal();
  options.progress = [&](std::uint64_t done) { line.update("random traces", done, options.traces, "traces"); };
  BH_TRY(auto campaign, verify::run_campaign(verify::on_engines(make_engine), options));
  options.progress = [&](std::uint64_t done) { line.update("surface traces", done, options.traces, "traces"); };
  BH_CHECK(run_surface(subject, options, campaign));
  line.update("canaries", 0, flags.secrets, "secrets");
  BH_TRY(auto canaries, verify::check_canaries(make_engine, {flags.secrets, flags.seed, stop_on_signal()}));
  campaign.checks.push_back(std::move(canaries));
  if (flags.timing_pairs == 0) return campaign;
  const auto progress = [&](std::uint64_t done) { line.update("timing", done, flags.timing_pairs, "pairs"); };
  verify::TimingOptions timing;
  timing.pairs = flags.timing_pairs;
  timing.seed = flags.seed;
  timing.cancel = stop_on_signal();
  timing.progress = progress;
  BH_TRY(auto timed, verify::check_timing(make_engine, timing));
  campaign.checks.push_back(std::move(timed));
  return campaign;
}

// How much of the other partitions' memory was out of reach while a partition computed.
Json guard_json() {
  const auto totals = engines::llama::guard_totals();
  if (totals.computations == 0) return nullptr;
  return {{"computations", totals.computations},
          {"foreign_bytes", totals.foreign_bytes},
          {"guarded_bytes", totals.guarded_bytes}};
}

Json report_json(const verify::Campaign& campaign, const engine::Facts& facts, bool fresh_process) {
  Json checks = Json::array();
  for (const auto& check : campaign.checks) checks.push_back(verify::to_json(check));
  return {{"verdict", verify::name(verify::verdict_of(campaign.checks))},
          {"engine", facts.engine},
          {"model", facts.model_name},
          {"grade", engine::name(facts.grade)},
          {"traces", campaign.traces},
          {"guard", guard_json()},
          {"alone", fresh_process ? "process" : "engine"},
          {"checks", checks},
          {"failing_trace", campaign.failing ? verify::to_json(*campaign.failing) : Json(nullptr)},
          {"failing_trace_is_minimal", campaign.minimal}};
}

void print_channels(const Json& channels) {
  for (const auto& [name, channel] : channels.items()) {
    console::print("    secrets in {}: {} of {} (95 %: {:.1f} to {:.1f} %)\n", name,
                   channel["said"].get<std::uint64_t>(), channel["of"].get<std::uint64_t>(),
                   100 * channel["low"].get<double>(), 100 * channel["high"].get<double>());
  }
}

void print_report(const Json& report) {
  const auto traces = report["traces"].get<std::uint64_t>();
  console::print("{} {}, grade {}: {}\n", report["engine"].get<std::string>(), report["model"].get<std::string>(),
                 report["grade"].get<std::string>(), traces > 0 ? fmt::format("{} traces", traces) : "a recorded run");
  for (const auto& check : report["checks"]) {
    console::print("  {:22}{:13}{} compared, {} with a difference; control {}\n", check["name"].get<std::string>(),
                   check["verdict"].get<std::string>(), check["compared"].get<std::uint64_t>(),
                   check["differences"].get<std::uint64_t>(),
                   check["control_caught"].get<bool>() ? "caught" : "NOT CAUGHT");
    if (!check["first_difference"].is_null()) console::print("    {}\n", check["first_difference"].get<std::string>());
    print_channels(check["detail"].value("channels", Json::object()));
  }
  if (const auto& guard = report["guard"]; !guard.is_null()) {
    const auto foreign = guard["foreign_bytes"].get<double>();
    console::print("  guard: {} computations, {:.1f} % of the other partitions' bytes out of reach\n",
                   guard["computations"].get<std::uint64_t>(),
                   foreign > 0 ? 100 * guard["guarded_bytes"].get<double>() / foreign : 0);
  }
  if (!report["failing_trace"].is_null()) {
    console::print("the first failing trace, made small (replay with --trace FILE):\n{}\n",
                   json_text(report["failing_trace"], JsonForm::kAscii));
  }
  console::print("verdict: {}\n", report["verdict"].get<std::string>());
}

int exit_code_of(verify::Verdict verdict) {
  switch (verdict) {
    case verify::Verdict::kClean: return 0;
    case verify::Verdict::kInterference: return exit_code(ErrorCode::kInterference);
    case verify::Verdict::kVacuous: break;
  }
  return exit_code(ErrorCode::kIncomplete);
}

int verify_command(const VerifyFlags& flags) {
  apply_verbosity(flags.common);
  const auto subject = subject_of(flags);
  if (!subject.ok()) return print_error(subject.error(), flags.common);
  if (subject.value().model.guard == Guard::kPages) engines::llama::end_on_guard_fault();
  const verify::MakeEngine make_engine = [&] { return engines::builtin_engines().make(subject.value().model); };
  const verify::MakeEngine alone = [&] {
    auto model = subject.value().model;
    if (flags.fresh_process) model.grade = Grade::kProcess;
    return engines::builtin_engines().make(model);
  };
  // Kept to the end: engines of the same model share its weights, so that they are loaded once.
  const auto first = make_engine();
  if (!first.ok()) return print_error(first.error(), flags.common);
  ProgressLine line(progress_mode(flags.common));
  const auto campaign = run_checks(flags, subject.value(), make_engine, alone, line);
  line.finish();
  if (!campaign.ok()) return print_error(campaign.error(), flags.common);
  const auto report = report_json(campaign.value(), first.value()->facts(), flags.fresh_process);
  if (flags.common.json) {
    console::print_data(json_text(report, JsonForm::kPretty) + '\n');
  } else {
    print_report(report);
  }
  return exit_code_of(verify::verdict_of(campaign.value().checks));
}

}  // namespace

Command add_verify(CLI::App& program) {
  auto flags = std::make_shared<VerifyFlags>();
  auto* command = program.add_subcommand(
      "verify",
      "Try to refute isolation: random traces, or the partitions of a run, each held against a run of its own alone.");
  auto* run = command->add_option("run", flags->run,
                                  "run folder: replay each of its partitions alone, in place of random traces");
  add_model_flags(*command, flags->model);
  command->add_option("--traces", flags->traces, "random traces; default: 300, with --quick 10 (fake: 10000, 2000)")
      ->check(CLI::Range(1, 100000000));
  command->add_option("-s,--seed", flags->seed, "seed of the first trace; the next ones are +1, +2, ...")
      ->capture_default_str();
  command->add_option("--trace", flags->trace, "replay this one trace in place of random ones")->excludes(run);
  command->add_flag_callback(
      "--paranoid", [flags] { flags->model.guard = "pages"; }, "the same as --guard pages");
  command->add_flag("--fresh-process", flags->fresh_process,
                    "run each partition alone in a process of its own, not only in an engine of its own (slow)");
  command->add_option("--secrets", flags->secrets, "canaries: secrets to place in B and to look for in A")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command
      ->add_option("--timing", flags->timing_pairs,
                   "also time so many pairs of prefills (2000 for a finding; a quiet machine)")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  command->add_flag("--quick", flags->quick, "fewer traces");
  command->add_flag("--json", flags->common.json, "machine-readable output on stdout");
  command->add_flag("-q,--quiet", flags->common.quiet, "errors only on stderr");
  command->add_flag("-v,--verbose", flags->common.verbose, "more on stderr; twice for the engine's own log");
  return [flags] { return verify_command(*flags); };
}

}  // namespace bulkhead::cli
