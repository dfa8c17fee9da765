// SPDX-License-Identifier: MIT
// What `run` and `plan` share: scenarios, a format and an engine, opened from flags.
#pragma once

#include "cli/flags.h"
#include "conversation/scenario.h"
#include "engine/engine.h"
#include "plan/plan.h"
#include "prompt/format.h"

#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::cli {

struct ExperimentFlags {
  std::vector<std::string> scenarios;
  std::string format;  // empty: chat template where the model has one, else raw text
  std::vector<std::string> conditions;
  std::string prompts;
  std::optional<std::uint32_t> new_tokens;

  [[nodiscard]] plan::Settings settings() const;
};

void add_experiment_flags(CLI::App& app, ExperimentFlags& flags);

struct Session {
  std::vector<std::shared_ptr<const conversation::Scenario>> scenarios;
  std::shared_ptr<const prompt::Format> format;
  ModelOptions model;  // that `engine` was made with
  std::unique_ptr<engine::Engine> engine;
  engine::Duration load_time{};  // that making it took
};

// Files first, then the model: what is cheap to refuse is refused before the weights are read.
[[nodiscard]] Result<Session> open_session(const ModelFlags& model, const ExperimentFlags& experiment);

// An engine behind a desk of its own: any thread may use it.
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> open_engine(const ModelOptions& model);

void apply_verbosity(const CommonFlags& flags);

}  // namespace bulkhead::cli
