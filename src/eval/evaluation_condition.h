// SPDX-License-Identifier: MIT
// The conditions of an evaluation: the four of a run, and the controls without which isolation would win by
// construction. Each is a pure function from a conversation to contexts; the table of all of them is in
// evaluation_condition.cpp.
#pragma once

#include "base/result.h"
#include "dataset/dataset.h"
#include "plan/condition.h"
#include "prompt/assembly.h"
#include "prompt/format.h"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::eval {

// One context and the clusters whose questions are asked in it. What it shows is what a run would show.
struct EvaluationContext {
  plan::ContextSpec spec;                            // `clusters`: whose questions are asked here
  std::map<int, std::string> fillers;                // turn id -> text that stands in the turn's place
  std::map<std::string, std::string> messages = {};  // label of the sender -> text, where it is not the reference
};

struct EvaluationCondition {
  std::string_view name;       // "regrouped"
  std::string_view title;      // for people
  std::string_view separates;  // what keeps topics apart
  std::string_view asks;       // what the comparison with `semantic` tells
  std::vector<EvaluationContext> (*contexts)(const dataset::Conversation& conversation, std::uint64_t seed);
};

// sequential, prompted, turn_based, semantic; regrouped, filler, random_clusters, turn_clusters, no_messages,
// summaries, short_messages,
// full_texts.
[[nodiscard]] std::span<const EvaluationCondition> evaluation_conditions() noexcept;

// kUsage, with the known names.
[[nodiscard]] Result<const EvaluationCondition*> find_evaluation_condition(std::string_view name);

// A piece of text of a context, and the cluster it came from; empty for what belongs to none (instruction, filler).
struct Segment {
  std::string cluster;
  std::string text;
  friend bool operator==(const Segment&, const Segment&) = default;
};

// The context's blocks, ready for assembly. A message is the sender's reference text unless the context says
// otherwise: what a right output would say, so that no comparison hangs on how well a model writes.
[[nodiscard]] std::vector<prompt::Block> blocks_of(const EvaluationContext& context,
                                                   const dataset::Conversation& conversation,
                                                   const prompt::Format& format);

// The same as segments, in order; markers belong to their turn.
[[nodiscard]] std::vector<Segment> segments_of(const EvaluationContext& context,
                                               const dataset::Conversation& conversation, const prompt::Format& format);

}  // namespace bulkhead::eval
