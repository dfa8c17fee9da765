// SPDX-License-Identifier: MIT
#include "base/console.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/progress_line.h"
#include "cli/reports.h"
#include "cli/session.h"
#include "dataset/dataset.h"
#include "engines/llama/text_embedder.h"
#include "eval/cells_csv.h"
#include "eval/comparison.h"
#include "eval/evaluation.h"
#include "eval/evaluation_condition.h"
#include "eval/evaluation_summary.h"
#include "eval/facet.h"
#include "measure/process_memory.h"
#include "models/manifest.h"
#include "models/model_files.h"
#include "report/evaluation_document.h"
#include "run/provenance.h"
#include "store/sealed_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>

namespace bulkhead::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostOutputTokens = 4096;

struct EvalFlags {
  CommonFlags common;
  ModelFlags model;
  std::string dataset;
  std::string format;
  std::string folder;
  std::string analysis;
  std::string embedding;
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

// What `model` is called in an analysis: its name in the manifest, else its file's; an engine without files is its own
// model.
std::string model_name(const ModelOptions& model, const models::Manifest& manifest) {
  if (model.path.empty()) return model.engine;
  const auto file = std::filesystem::path(model.path).filename().string();
  const auto& known = manifest.models();
  const auto named = std::find_if(known.begin(), known.end(), [&](const auto& one) { return one.file == file; });
  return named == known.end() ? file : named->name;
}

// An analysis fixed for something else says nothing beforehand about this evaluation.
Result<void> check_plan(const std::string& path, const eval::AnalysisPlan& plan, const dataset::Dataset& dataset,
                        const ModelOptions& model, const std::string& model_sha256) {
  const auto other = [&](std::string_view what, std::string_view there, std::string_view here) {
    return Error{ErrorCode::kUsage,
                 fmt::format("the analysis was fixed for the {} {}; this evaluation has {}", what, there, here), path,
                 "give what it was fixed for, or leave out --analysis"};
  };
  if (plan.dataset_sha256 != dataset.sha256) return other("data set", plan.dataset_sha256, dataset.sha256);
  const auto& manifest = models::Manifest::built_in();
  const auto* planned = manifest.find(plan.model);
  const auto wanted = planned == nullptr ? plan.model : planned->name;
  const auto name = model_name(model, manifest);
  if (wanted != name) return other("model", wanted, name);
  if (planned != nullptr && planned->sha256 != model_sha256) {
    return other("model of SHA-256", planned->sha256, model_sha256);
  }
  return {};
}

// What is evaluated, on what: all that can be refused before a model is loaded.
struct Subject {
  dataset::Dataset dataset;
  std::size_t left_out = 0;  // conversations without anything to ask
  eval::AnalysisPlan plan;
  ModelOptions model;
  std::string model_sha256;  // empty: a model without files
};

Result<eval::SimilarityMeasure> similarity_by(const std::string& path, std::uint32_t threads) {
  eval::SimilarityMeasure measure;
  BH_TRY(measure.model_sha256, models::model_sha256(path));
  BH_TRY(auto loaded, engines::llama::TextEmbedder::load(path, threads));
  const auto embedder = std::make_shared<engines::llama::TextEmbedder>(std::move(loaded));
  measure.cosine = [embedder](std::string_view one, std::string_view other) -> Result<double> {
    BH_TRY(const auto first, embedder->embed(one));
    BH_TRY(const auto second, embedder->embed(other));
    return engines::llama::cosine(first.values, second.values);
  };
  return measure;
}

Result<Subject> read_subject(const EvalFlags& flags) {
  BH_CHECK(eval::check_options(flags.options));
  Subject subject;
  BH_TRY(subject.dataset, read_conversations(flags.dataset));
  BH_TRY(subject.left_out, eval::conversations_without_items(subject.dataset, flags.options));
  if (!flags.analysis.empty()) {
    BH_TRY(subject.plan, eval::read_analysis_plan(flags.analysis));
  }
  BH_TRY(subject.model, flags.model.resolve());
  if (subject.model.clock.empty()) {
    BH_TRY(subject.model.clock, eval::RunStore::recorded_clock(flags.folder));
  }
  if (!subject.model.path.empty()) {
    BH_TRY(subject.model_sha256, models::model_sha256(subject.model.path));
  }
  if (!flags.analysis.empty()) {
    BH_CHECK(check_plan(flags.analysis, subject.plan, subject.dataset, subject.model, subject.model_sha256));
  }
  return subject;
}

Json made_json(const engine::Engine& engine, const Subject& subject, const Invocation& invocation) {
  const auto& dataset = subject.dataset;
  const auto file = std::filesystem::path(dataset.name).filename().string();
  return {{"bulkhead", run::build_json()},
          {"machine", run::machine_json()},
          {"model", run::model_json(engine.facts(), subject.model_sha256)},
          {"engine", run::engine_json(engine.facts())},
          {"dataset",
           {{"file", file},
            {"sha256", dataset.sha256},
            {"conversations", dataset.conversations.size()},
            {"left_out", subject.left_out}}},
          {"command", invocation.arguments},
          {"peak_rss_bytes", measure::process_memory().peak_bytes},
          {"workers", run::workers_json(engine)}};
}

// summary.json, without its first fields.
Result<Json> analysis_of(const std::vector<eval::Cell>& cells, const Subject& subject) {
  const auto sizes = eval::sizes_of(subject.dataset);
  BH_TRY(auto analysis, eval::compare(cells, subject.plan));
  BH_TRY(analysis["facets"], eval::facet_differences(cells, sizes, subject.plan));
  return Json{
      {"cells", cells.size()}, {"conditions", eval::summarize(cells, sizes)}, {"analysis", std::move(analysis)}};
}

Result<void> write_folder(store::SealedFolder& folder, const Json& document, const std::vector<eval::Cell>& cells) {
  BH_TRY(auto documents, evaluation_reports(document));
  documents["cells.csv"] = eval::to_csv(cells);
  documents["summary.json"] = json_text(document, JsonForm::kPretty) + '\n';
  return folder.replace(std::move(documents), {});
}

// The summary, also after an interruption: then `complete` is false.
Result<Json> evaluate(EvalFlags& flags, const Invocation& invocation, ProgressLine& line) {
  BH_TRY(const auto subject, read_subject(flags));
  const auto& dataset = subject.dataset;
  if (!flags.embedding.empty()) {
    BH_TRY(flags.options.similarity, similarity_by(flags.embedding, subject.model.threads));
  }
  BH_TRY(const auto engine, open_engine(subject.model));
  const auto& facts = engine->facts();
  const std::string format_name = !flags.format.empty() ? flags.format : facts.chat_template ? "bulkhead" : "raw";
  BH_TRY(const auto format, prompt::load_format(format_name));
  const auto configuration =
      eval::evaluation_configuration(facts, subject.model_sha256, dataset, format, flags.options);
  BH_TRY(auto store, eval::RunStore::open(flags.folder, configuration));
  flags.options.cancel = stop_on_signal();
  flags.options.progress = [&, begin = Clock::now()](std::uint64_t done, std::uint64_t total) {
    line.update(time_left(begin, done, total), done, total, "cells");
  };
  const auto evaluated = eval::evaluate(*engine, dataset, format, flags.options, store);
  if (!evaluated.ok() && evaluated.error().code != ErrorCode::kInterrupted) return evaluated.error();
  BH_TRY(const auto cells, store.cells());
  Json document = {{"schema", report::kEvaluationSchema},
                   {"made", made_json(*engine, subject, invocation)},
                   {"configuration", configuration},
                   {"complete", evaluated.ok()}};
  BH_TRY(const auto analysis, analysis_of(cells, subject));
  document.update(analysis);
  BH_CHECK(write_folder(store.folder(), document, cells));
  return document;
}

int run_eval(EvalFlags& flags, const Invocation& invocation) {
  apply_verbosity(flags.common);
  ProgressLine line(progress_mode(flags.common));
  const auto document = evaluate(flags, invocation, line);
  line.finish();
  if (!document.ok()) return print_error(document.error(), flags.common);
  print_evaluation(*document, flags.common);
  if (!flags.common.quiet) console::say("report: {}/report.html", flags.folder);
  if ((*document)["complete"].get<bool>()) return 0;
  console::say("bulkhead: stopped; the same command goes on from here");
  const int by_signal = signal_exit_code();
  return by_signal != 0 ? by_signal : exit_code(ErrorCode::kIncomplete);
}

}  // namespace

Command add_eval(CLI::App& program, const Invocation& invocation) {
  auto flags = std::make_shared<EvalFlags>();
  auto* command = program.add_subcommand("eval", "Measure what isolation changes, over a data set of conversations.");
  std::string known;
  for (const auto& one : eval::evaluation_conditions()) known += (known.empty() ? "" : ", ") + std::string(one.name);
  command->add_option("dataset", flags->dataset, kInputHelp)->required();
  command->add_option("--out", flags->folder, "folder of this evaluation; one that is there is gone on with")
      ->required();
  command->add_option("--format", flags->format,
                      "how turns become text; default: the model's chat template, raw text for base models");
  command->add_option("--conditions", flags->options.conditions, fmt::format("which of {} (all)", known))
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      ->add_option("--kinds", flags->options.kinds,
                   "which of own, updated, absent, relay, compare, sum, reference, output, sample (all)")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      ->add_option("--conversations", flags->options.conversations,
                   "so many of them, evenly spaced over the data set; 0: all")
      ->capture_default_str();
  command->add_option("-s,--seed", flags->options.seed, "of what is drawn: random_clusters, filler, samples")
      ->capture_default_str();
  auto* outputs =
      command
          ->add_option("--outputs", flags->options.lengths.output,
                       "let the model write each cluster's reference text, in so many tokens at most; 0: not")
          ->check(CLI::Range(0, kMostOutputTokens))
          ->capture_default_str();
  command
      ->add_option("--samples", flags->options.lengths.sample,
                   "draw each cluster's text in isolation, so many tokens at most, and score it under every condition "
                   "(KL divergence); 0: not")
      ->check(CLI::Range(0, kMostOutputTokens))
      ->capture_default_str();
  command
      ->add_option("--embedding", flags->embedding,
                   "an embedding model (scripts/embedding_model.sh): how near each output is to its reference text")
      ->needs(outputs);
  command->add_option("--analysis", flags->analysis,
                      "hypotheses and margins fixed beforehand, such as datasets/bulkhead-bench/analysis.json");
  add_model_flags(*command, flags->model);
  add_common_flags(*command, flags->common);
  return [flags, invocation] { return run_eval(*flags, invocation); };
}

}  // namespace bulkhead::cli
