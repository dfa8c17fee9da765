// SPDX-License-Identifier: MIT
// Judge: a model says which of two outputs of one topic is better, that of a condition or that of `semantic`. It is not
// told which is which, and every pair is shown in both orders. The model never writes: "1" and "2" are scored as the
// answer's continuation.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "dataset/dataset.h"
#include "engine/engine.h"
#include "eval/cell.h"
#include "eval/comparison.h"
#include "eval/run_store.h"
#include "prompt/format.h"

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::eval {

struct Criterion {
  std::string_view name;
  std::string_view question;
};
// coherence, relevance, actionability.
[[nodiscard]] std::span<const Criterion> criteria() noexcept;

inline constexpr std::string_view kJudgementKind = "judgement";

struct JudgeOptions {
  std::stop_token cancel = {};
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};  // as in EvaluationOptions
};

// Judges the outputs among `cells` against semantic's of the same topic, as far as `store` does not hold them already.
// A judgement is a cell: its item is "CRITERION:CLUSTER:first" or "...:second", after where the condition's text stood;
// of its two candidates, "1" and "2", `cluster` names the condition whose text that was. Pairs of equal texts are left
// out. kBadInput: no outputs to compare, or of conversations that `dataset` does not hold; kUnsupported: the engine
// cannot score; kInterrupted: stopped, what was done is in the store.
[[nodiscard]] Result<void> judge(engine::Engine& engine, const dataset::Dataset& dataset,
                                 const std::vector<Cell>& cells, const prompt::Format& format,
                                 const JudgeOptions& options, RunStore& store);

// For each condition and criterion: `pairs` judged in both orders, `better` and `worse` than semantic in both, `split`
// (the orders disagree: a tie), `agreement` (share that is not split), `first_chosen` (share of judgements for the text
// that stood first: 0.5 without a bias), `mean` (better 1, worse -1, split 0) and its `statistics` by conversation as
// in a comparison (null with fewer than two), Holm's correction over the conditions of one criterion.
[[nodiscard]] Result<Json> judgements_json(const std::vector<Cell>& judgements, const AnalysisPlan& plan);

}  // namespace bulkhead::eval
