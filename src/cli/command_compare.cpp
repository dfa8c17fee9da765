// SPDX-License-Identifier: MIT
// `compare`: one scenario on several engines and models, one run folder each, one report over all.
#include "base/console.h"
#include "cli/command.h"
#include "cli/compared_run.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/transcript_file.h"
#include "compare/comparison.h"
#include "compare/page.h"
#include "compare/token_check.h"
#include "conversation/input_text.h"
#include "engines/builtin.h"
#include "report/results.h"
#include "store/folder_seal.h"
#include "store/sealed_folder.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace bulkhead::cli {
namespace {

struct CompareFlags {
  RunFlags run;
  std::vector<std::string> on;
  bool allow_token_differences = false;
};

// Tokens and their spellings out of the run folders, read when a hash differs.
class RunFolders {
 public:
  explicit RunFolders(const std::vector<compare::Entry>& entries) : entries_(entries) {}

  [[nodiscard]] compare::TokenSource source() {
    return {.input = [this](std::size_t entry, std::size_t run,
                            const std::string& partition) -> Result<std::vector<engine::Token>> {
              BH_TRY(const auto* file, file_of(entry));
              return compare::input_in(file->transcript, partition, run);
            },
            .spelling = [this](std::size_t entry, engine::Token token) { return spelling(entry, token); }};
  }

 private:
  Result<const TranscriptFile*> file_of(std::size_t entry) {
    const auto found = files_.find(entry);
    if (found != files_.end()) return static_cast<const TranscriptFile*>(&found->second);
    BH_TRY(auto file, read_transcript(entries_[entry].folder));
    return static_cast<const TranscriptFile*>(&files_.emplace(entry, std::move(file)).first->second);
  }

  // The engine is made again for it: a rare case, and the run's own process has ended.
  std::string spelling(std::size_t entry, engine::Token token) {
    const auto file = file_of(entry);
    if (!file.ok()) return {};
    auto& made = engines_[entry];
    if (made == nullptr) {
      auto engine = engines::builtin_engines().make(file.value()->model);
      if (!engine.ok()) return {};
      made = std::move(engine).value();
    }
    return made->tokenizer().spelling(token);
  }

  const std::vector<compare::Entry>& entries_;
  std::map<std::size_t, TranscriptFile> files_;
  std::map<std::size_t, std::unique_ptr<engine::Engine>> engines_;
};

// Runs that are finished in there are not made again.
Result<store::SealedFolder> comparison_folder(const CompareFlags& flags) {
  constexpr const char* kKind = "comparison";
  if (!flags.run.folder.empty()) {
    return store::SealedFolder::open(flags.run.folder, kKind, store::SealedFolder::Existing::kContinue);
  }
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return store::SealedFolder::create_unique(fmt::format("runs/compare-{:%Y%m%d-%H%M%S}", fmt::localtime(now)), kKind);
}

// What was compared: the seal of each run's folder.
Result<Json> seals_of(const std::vector<compare::Entry>& entries) {
  Json seals = Json::object();
  for (const auto& entry : entries) {
    BH_TRY(const auto seal, store::FolderSeal::read(entry.folder));
    seals[entry.name] = seal.manifest()["sha256"];
  }
  return Json{{"runs", std::move(seals)}};
}

// Refuses what can be refused before the first engine starts: models that are not here, an unknown format or condition.
Result<conversation::Scenario> check_all(const CompareFlags& flags, const std::vector<ComparedEngine>& engines) {
  if (flags.run.experiment.scenarios.size() != 1)
    return Error{ErrorCode::kUsage, fmt::format("{} scenarios", flags.run.experiment.scenarios.size()), "compare",
                 "a comparison is of one scenario"};
  const auto& input = flags.run.experiment.scenarios.front();
  if (!conversation::can_be_read_again(input))
    return Error{ErrorCode::kUsage, "every engine's run reads the scenario anew", conversation::input_name(input),
                 "give a file, not a pipe"};
  if (engines.size() < 2)
    return Error{ErrorCode::kUsage, "there is nothing to compare with", "--on", "give --on twice or more"};
  for (const auto& one : engines) {
    auto model = flags.run.model;
    model.options.engine = one.engine;
    model.model = one.model;
    model.hub = one.hub;
    if (const auto there = model.resolve(); !there.ok()) {
      auto error = there.error();
      error.place = fmt::format("--on {}", one.text);
      return error;
    }
  }
  BH_TRY(const auto scenarios, read_scenarios(flags.run.experiment.scenarios));
  if (scenarios.size() != 1)
    return Error{ErrorCode::kUsage, fmt::format("{} conversations", scenarios.size()), scenarios.front()->path,
                 "a comparison is of one"};
  return *scenarios.front();
}

Result<compare::Entry> run_one(const CompareFlags& flags, const CLI::App& command, const ComparedEngine& one,
                               const conversation::Scenario& scenario, const std::string& folder) {
  compare::Entry entry{one.name, (std::filesystem::path(folder) / one.name).string(), {}};
  auto arguments = run_arguments(command, one, flags.run.experiment.scenarios.front(), entry.folder);
  BH_TRY(entry.results, finished_run(entry.folder, arguments, scenario.sha256));
  const bool quiet = flags.run.common.quiet;
  if (!entry.results.is_null()) {
    if (!quiet) console::say("{}: finished before", one.name);
    return entry;
  }
  const auto tell = [&](std::string_view line) { console::say("{}: {}", one.name, line); };
  if (!quiet) tell("starting");
  // What lies there now is this very run, unfinished.
  arguments.emplace_back("--force");
  if (auto done = run_compared(arguments, tell, stop_on_signal()); !done.ok()) {
    auto error = std::move(done).error();
    error.place = fmt::format("--on {}", one.text);
    return error;
  }
  BH_TRY(entry.results, report::read_results(entry.folder));
  return entry;
}

// NOLINTNEXTLINE(bugprone-exception-escape): nlohmann's move cannot throw
struct Compared {
  Json comparison;
  std::string folder;
};

Result<Compared> compare_all(const CompareFlags& flags, const CLI::App& command) {
  BH_TRY(const auto engines, parse_compared(flags.on));
  BH_TRY(const auto scenario, check_all(flags, engines));
  BH_TRY(auto folder, comparison_folder(flags));
  std::vector<compare::Entry> entries;
  RunFolders folders(entries);
  for (const auto& one : engines) {
    BH_TRY(auto entry, run_one(flags, command, one, scenario, folder.path().string()));
    entries.push_back(std::move(entry));
    // At once, not after the last engine: the others may take hours.
    BH_TRY(const auto rows, compare::check_tokens(entries, folders.source()));
    if (!flags.allow_token_differences) BH_CHECK(compare::refuse_differences(rows, entries));
  }
  BH_TRY(auto comparison, compare::compare(entries, folders.source()));
  const auto page = compare::page_of(comparison);
  BH_TRY(const auto html, compare::to_html(page));
  BH_TRY(auto seals, seals_of(entries));
  BH_CHECK(folder.replace({{"comparison.json", json_text(comparison, JsonForm::kPretty) + "\n"},
                           {"comparison.md", compare::to_markdown(page)},
                           {"comparison.html", html}},
                          std::move(seals)));
  return Compared{std::move(comparison), folder.path().string()};
}

int compare_command(const CompareFlags& flags, const CLI::App& command) {
  apply_verbosity(flags.run.common);
  const auto compared = compare_all(flags, command);
  if (!compared.ok()) {
    const int code = print_error(compared.error(), flags.run.common);
    const int by_signal = signal_exit_code();
    return by_signal != 0 ? by_signal : code;
  }
  const auto& comparison = compared->comparison;
  if (flags.run.common.json || flags.run.common.output == "json") {
    console::print_data(json_text(comparison, JsonForm::kPretty) + '\n');
  } else {
    console::print("{}", compare::to_markdown(compare::page_of(comparison)));
  }
  if (!flags.run.common.quiet) console::say("report: {}/comparison.html", compared->folder);
  return 0;
}

}  // namespace

Command add_compare(CLI::App& program) {
  auto flags = std::make_shared<CompareFlags>();
  auto* command = program.add_subcommand("compare", "Run one scenario on several engines or models, and compare.");
  add_run_flags(*command, flags->run);
  // Each engine is named by --on; the form of the output is another.
  for (const auto* name : {"--engine", "--model", "--hf-repo", "--output", "--force"})
    command->remove_option(command->get_option(name));
  command
      ->add_option("--on", flags->on,
                   "ENGINE:MODEL[,FLAG[=VALUE]]: an engine and a model of it, as -m takes it or hf:USER/REPO, with "
                   "flags of `run` for it alone; once for each")
      ->required();
  command->add_flag("--allow-token-differences", flags->allow_token_differences,
                    "go on where engines get other tokens of the same text, and say so in the report");
  command->get_option("--out")->description(
      "folder of the comparison, with a run folder for each engine; what is "
      "finished there is not run again. Default: runs/compare-DATE-TIME");
  command->add_option("-o,--output", flags->run.common.output, "form of the output on stdout: md or json")
      ->check(CLI::IsMember({"md", "json"}));
  command->footer(
      "bulkhead compare scenarios/hospital_pharmacy.json --on llama:gemma-3-270m --on transformers:FOLDER "
      "--on mlx:FOLDER,dtype=f32 --temp 0 -n 32 --out runs/three");
  return [flags, command] { return compare_command(*flags, *command); };
}

}  // namespace bulkhead::cli
