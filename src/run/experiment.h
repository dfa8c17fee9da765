// SPDX-License-Identifier: MIT
// Experiment: scenarios x seeds on one engine, into one run folder.
//
// The folder: results.json (docs/results-format.md), samples.jsonl (one output a line, with texts and token ids),
// transcript.jsonl (engine/transcript.h; for `bulkhead verify RUN`) and manifest.json (what is needed to run it again,
// and the sums of the others). After each run all are replaced together (store/sealed_folder.h).
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "conversation/scenario.h"
#include "engine/engine.h"
#include "engine/transcript.h"
#include "plan/plan.h"
#include "prompt/format.h"
#include "run/executor.h"
#include "store/sealed_folder.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace bulkhead::run {

// NOLINTNEXTLINE(bugprone-exception-escape): its default member values are short strings
struct ExperimentOptions {
  plan::Settings settings;
  SamplingOptions sampling;
  std::uint32_t repeat = 1;  // seeds sampling.seed, +1, +2, ...; 1 when greedy
  bool ignore_end = false;
  bool speculate = true;
  std::uint32_t max_sequences = 16;
  store::SealedFolder* folder = nullptr;  // run folder; null: none is written
  std::string model_sha256;
  std::optional<engine::Duration> load_time;  // that making the engine took, where it was measured
  std::vector<std::string> command;           // for the manifest
  // What is written to transcript.jsonl after each run; null: nothing. Must be of the engine that the plans run on.
  const engine::Transcript* transcript = nullptr;
  Json transcript_header;  // its first line
  std::stop_token cancel;
  std::function<void(const Progress&)> progress;
  Listener listener;
};

// Plans for all scenarios, and the room they need on `engine` reserved: everything that can be refused is refused here.
// kResource names what is too long, and by how much; kUsage: a scenario is given twice.
[[nodiscard]] Result<std::vector<plan::Plan>> prepare(
    engine::Engine& engine, const std::vector<std::shared_ptr<const conversation::Scenario>>& scenarios,
    const std::shared_ptr<const prompt::Format>& format, const ExperimentOptions& options);

// Runs all plans for all seeds and gives the results document. An interruption or a failed partition gives a document
// with "complete": false, not an error; errors are for what prevented any result.
[[nodiscard]] Result<Json> run_experiment(engine::Engine& engine, const std::vector<plan::Plan>& plans,
                                          const ExperimentOptions& options);

}  // namespace bulkhead::run
