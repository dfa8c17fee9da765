// SPDX-License-Identifier: MIT
#include "cli/session.h"

#include "base/log.h"
#include "cli/input.h"
#include "desk/desk.h"
#include "engines/builtin.h"
#include "plan/condition.h"

#include <fmt/format.h>

#include <chrono>

namespace bulkhead::cli {

plan::Settings ExperimentFlags::settings() const {
  return {.conditions = conditions, .prompt_set = prompts, .new_tokens = new_tokens};
}

void add_experiment_flags(CLI::App& app, ExperimentFlags& flags) {
  std::string known;
  for (const auto& condition : plan::conditions()) known += (known.empty() ? "" : ", ") + std::string(condition.name);
  app.add_option("scenario", flags.scenarios, kInputHelp)->required();
  app.add_option("--format", flags.format,
                 "how turns become text: a built-in name or a file.json; "
                 "default: the model's chat template, raw text for base models");
  app.add_option("--conditions", flags.conditions, fmt::format("which of {} (all)", known))
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--prompts", flags.prompts,
                 "prompt set: neutral, targeted or another of the format; default: the format's");
  app.add_option("-n,--predict", flags.new_tokens, "new tokens of each output; default: the format's")
      ->check(CLI::Range(1, 1 << 20));
}

Result<Session> open_session(const ModelFlags& model, const ExperimentFlags& experiment) {
  Session session;
  BH_TRY(session.scenarios, read_scenarios(experiment.scenarios));
  for (const auto& name : experiment.conditions) {
    if (const auto found = plan::find_condition(name); !found.ok()) return found.error();
  }
  if (!experiment.format.empty()) {
    BH_TRY(auto format, prompt::load_format(experiment.format));
    session.format = std::make_shared<const prompt::Format>(std::move(format));
  }
  BH_TRY(session.model, model.resolve());
  const auto begin = std::chrono::steady_clock::now();
  BH_TRY(session.engine, open_engine(session.model));
  session.model.clock = session.engine->facts().clock;  // transcripts name the one that was taken
  session.load_time = std::chrono::steady_clock::now() - begin;
  if (session.format == nullptr) {
    BH_TRY(auto format, prompt::load_format(session.engine->facts().chat_template ? "bulkhead" : "raw"));
    session.format = std::make_shared<const prompt::Format>(std::move(format));
  }
  return session;
}

Result<std::unique_ptr<engine::Engine>> open_engine(const ModelOptions& model) {
  BH_TRY(auto made, engines::builtin_engines().make(model));
  return desk::Desk::open(std::move(made))->client();
}

void apply_verbosity(const CommonFlags& flags) {
  if (flags.quiet)
    log::set_verbosity(log::Verbosity::kQuiet);
  else if (flags.verbose >= 2)
    log::set_verbosity(log::Verbosity::kDebug);
  else if (flags.verbose == 1)
    log::set_verbosity(log::Verbosity::kVerbose);
}

}  // namespace bulkhead::cli
