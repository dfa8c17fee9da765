// SPDX-License-Identifier: MIT
// Evaluation: conversations x conditions x items on one engine, cell by cell into a run store.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "dataset/dataset.h"
#include "engine/engine.h"
#include "eval/item.h"
#include "eval/run_store.h"
#include "prompt/format.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::eval {

// Of what an output and its reference text are about.
struct SimilarityMeasure {
  std::string model_sha256;                                                            // of the embedding model
  std::function<Result<double>(std::string_view one, std::string_view other)> cosine;  // null: not measured
};

struct EvaluationOptions {
  std::vector<std::string> conditions = {};  // names; empty: all
  std::vector<std::string> kinds = {};       // of questions, "reference" too; empty: all
  std::uint32_t conversations = 0;           // so many, evenly spaced over the data set; 0: all
  std::uint64_t seed = 1;                    // of random_clusters, filler and samples
  TextLengths lengths = {};                  // of outputs and samples; 0: none
  SimilarityMeasure similarity = {};         // of outputs
  std::stop_token cancel = {};
  // Called before the first cell and after each: done and total count the cells that were missing at the beginning.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
};

// What decides about a cell's numbers, for RunStore: the data set, the model, the format, the engine's options, the
// seed, and the most tokens of an output and a sample and the embedding model where there are some. Which conditions,
// kinds and conversations are run does not: a later call may add others to the same folder.
[[nodiscard]] Json evaluation_configuration(const engine::Facts& facts, const std::string& model_sha256,
                                            const dataset::Dataset& dataset, const prompt::Format& format,
                                            const EvaluationOptions& options);

// Whether `options` name conditions and kinds that there are, outputs and samples only with their tokens; can be asked
// before a model is loaded. kUsage, with those that are known.
[[nodiscard]] Result<void> check_options(const EvaluationOptions& options);

// How many of the chosen conversations have nothing to ask: no question and no reference text of the chosen kinds. They
// are left out. kBadInput when it is all of them. Can be asked before a model is loaded.
[[nodiscard]] Result<std::size_t> conversations_without_items(const dataset::Dataset& dataset,
                                                              const EvaluationOptions& options);

// Runs all cells that the store does not hold. kUsage: unknown condition or kind; kBadInput: nothing to ask;
// kUnsupported: the engine cannot score; kResource: a context does not fit into the model's (found before any work);
// kInterrupted: stopped, what was done is in the store. Any other failure of a cell ends the evaluation, with the cells
// before it kept.
[[nodiscard]] Result<void> evaluate(engine::Engine& engine, const dataset::Dataset& dataset,
                                    const prompt::Format& format, const EvaluationOptions& options, RunStore& store);

}  // namespace bulkhead::eval
