// SPDX-License-Identifier: MIT
#include "base/console.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/progress_line.h"
#include "cli/session.h"
#include "eval/evaluation.h"
#include "eval/judge.h"
#include "models/model_files.h"
#include "report/evaluation_document.h"
#include "run/provenance.h"
#include "store/sealed_folder.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>

namespace bulkhead::cli {
namespace {

struct JudgeFlags {
  CommonFlags common;
  ModelFlags model;
  std::string folder;
  std::string dataset;
  std::string format;
};

// NOLINTNEXTLINE(bugprone-exception-escape): nlohmann's move cannot throw
struct Evaluated {
  Json summary;
  std::vector<eval::Cell> cells;
};

Result<Evaluated> read_evaluated(const std::string& folder) {
  Evaluated read;
  BH_TRY(read.summary, report::read_evaluation(folder));
  BH_TRY(auto store, eval::RunStore::open(folder, read.summary["configuration"]));
  BH_TRY(read.cells, store.cells());
  return read;
}

Result<Json> judge(const JudgeFlags& flags, const Invocation& invocation, ProgressLine& line) {
  BH_TRY(const auto evaluated, read_evaluated(flags.folder));
  BH_TRY(const auto dataset, read_conversations(flags.dataset));
  BH_TRY(auto options, flags.model.resolve());
  if (options.clock.empty()) {
    BH_TRY(options.clock, eval::RunStore::recorded_clock(std::filesystem::path(flags.folder) / "judge"));
  }
  std::string sha256;
  if (!options.path.empty()) {
    BH_TRY(sha256, models::model_sha256(options.path));
  }
  BH_TRY(const auto engine, open_engine(options));
  const auto& facts = engine->facts();
  const std::string format_name = !flags.format.empty() ? flags.format : facts.chat_template ? "bulkhead" : "raw";
  BH_TRY(const auto format, prompt::load_format(format_name));
  // What decides about a judgement: the judge, and the outputs that were judged.
  auto configuration = eval::evaluation_configuration(facts, sha256, dataset, format, {});
  configuration["judged_model_sha256"] = evaluated.summary["configuration"].value("model_sha256", "");
  configuration["judged_output_tokens"] = evaluated.summary["configuration"].value("output_tokens", 0);
  BH_TRY(auto store,
         eval::RunStore::open(std::filesystem::path(flags.folder) / "judge", configuration, eval::kJudgementFolder));
  eval::JudgeOptions how;
  how.cancel = stop_on_signal();
  how.progress = [&](std::uint64_t done, std::uint64_t total) { line.update("judging", done, total, "judgements"); };
  const auto judged = eval::judge(*engine, dataset, evaluated.cells, format, how, store);
  if (!judged.ok() && judged.error().code != ErrorCode::kInterrupted) return judged.error();
  BH_TRY(const auto cells, store.cells());
  BH_TRY(auto judgements, eval::judgements_json(cells, {}));
  Json document = {{"schema", "bulkhead-judge-1"},
                   {"made",
                    {{"bulkhead", run::build_json()},
                     {"machine", run::machine_json()},
                     {"judge", run::model_json(facts, sha256)},
                     {"engine", run::engine_json(facts)},
                     {"command", invocation.arguments}}},
                   {"configuration", configuration},
                   {"complete", judged.ok()},
                   {"judgements", std::move(judgements)}};
  BH_CHECK(store.folder().replace({{"judgements.json", json_text(document, JsonForm::kPretty) + '\n'}}, {}));
  return document;
}

std::string table(const Json& document) {
  std::string text =
      "| criterion | condition | pairs | better than semantic | worse | orders disagree | first chosen | mean (95 %) | "
      "p "
      "(Holm) |\n|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& one : document["judgements"]) {
    const auto& statistics = one["statistics"];
    const auto interval = statistics.is_null()
                              ? std::string()
                              : fmt::format(" ({:+.2f} to {:+.2f})", statistics["interval"][0].get<double>(),
                                            statistics["interval"][1].get<double>());
    text += fmt::format(
        "| {} | {} | {} | {} | {} | {} | {:.2f} | {:+.2f}{} | {} |\n", one["criterion"].get<std::string>(),
        one["condition"].get<std::string>(), one["pairs"].get<int>(), one["better"].get<int>(), one["worse"].get<int>(),
        one["split"].get<int>(), one["first_chosen"].get<double>(), one["mean"].get<double>(), interval,
        statistics.is_null() ? std::string() : fmt::format("{:.4f}", statistics["p_holm"].get<double>()));
  }
  return text;
}

int run_judge(const JudgeFlags& flags, const Invocation& invocation) {
  apply_verbosity(flags.common);
  ProgressLine line(progress_mode(flags.common));
  const auto document = judge(flags, invocation, line);
  line.finish();
  if (!document.ok()) return print_error(document.error(), flags.common);
  const bool json = flags.common.json || flags.common.output == "json";
  if (json) {
    console::print_data(json_text(*document, JsonForm::kPretty) + '\n');
  } else {
    console::print("{}", table(*document));
  }
  if ((*document)["complete"].get<bool>()) return 0;
  console::say("bulkhead: stopped; the same command goes on from here");
  const int by_signal = signal_exit_code();
  return by_signal != 0 ? by_signal : exit_code(ErrorCode::kIncomplete);
}

}  // namespace

Command add_judge(CLI::App& program, const Invocation& invocation) {
  auto flags = std::make_shared<JudgeFlags>();
  auto* command = program.add_subcommand("judge", "Let a model judge an evaluation's outputs, blind, in both orders.");
  command->add_option("folder", flags->folder, "folder of `bulkhead eval` with --outputs")->required();
  command->add_option("dataset", flags->dataset, "the data set that was evaluated")->required();
  command->add_option("--format", flags->format,
                      "how the judge is asked; default: its chat template, raw text for base models");
  add_model_flags(*command, flags->model);
  add_common_flags(*command, flags->common);
  return [flags, invocation] { return run_judge(*flags, invocation); };
}

}  // namespace bulkhead::cli
