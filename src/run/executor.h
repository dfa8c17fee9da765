// SPDX-License-Identifier: MIT
// Executor: runs the steps of a plan over partitions in waves. All steps that wait on nothing are done first; then
// everything that is ready to generate, of all conditions, decodes in one batch.
#pragma once

#include "base/result.h"
#include "engine/engine.h"
#include "plan/plan.h"
#include "run/result.h"

#include <bulkhead/options.h>

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

namespace bulkhead::run {

struct Progress {
  std::string what;         // "prefill semantic/cluster_1", "generate 11 outputs"
  std::uint64_t done = 0;   // tokens of the run prefilled and generated so far
  std::uint64_t total = 0;  // tokens the run will need at most
};

// Who is told what a run brings forth, while it runs; on the calling thread. Each may be empty.
struct Listener {
  // A piece of an output, as it was drawn: a character may come in two.
  std::function<void(const plan::Condition&, const plan::OutputPlan&, std::string_view piece)> text;
  std::function<void(const plan::Condition&, const OutputResult&)> output;  // a whole one
  std::function<void(const plan::Condition&)> condition;                    // nothing of it is left to do
};

struct ExecuteOptions {
  SamplingOptions sampling;  // each output has its own generator, seeded with sampling.seed
  bool ignore_end = false;
  bool speculate = true;  // verify drafts, where that gives the very same tokens
  bool hash_logits = true;
  std::uint32_t max_sequences = 16;  // open at once; conditions wait for their turn beyond it
  std::stop_token cancel;
  std::function<void(const Progress&)> progress;  // on the calling thread; may be empty
  Listener listener;
};

// Sequences one condition needs at once: each context, and a fork for each output of those that have several.
[[nodiscard]] std::uint32_t sequences_needed(const plan::Plan& plan, const plan::Condition& condition) noexcept;

// Sequences to reserve for `plan` under the limit: never less than its largest condition needs.
[[nodiscard]] std::uint32_t sequences_to_reserve(const plan::Plan& plan, std::uint32_t max_sequences) noexcept;

// Runs `plan` on `engine`, where the caller has reserved room. A failing partition drops its own context and those that
// wait for its messages, and the others go on: the result says complete=false and why. All partitions are closed on
// return.
[[nodiscard]] RunResult execute(const plan::Plan& plan, engine::Engine& engine, const ExecuteOptions& options);

}  // namespace bulkhead::run
