// SPDX-License-Identifier: MIT
// Plan: the steps of a run as data. It prints, diffs and needs no engine but its tokenizer.
//
// Invariants: (1) steps stand in an order in which they could run one by one; (2) Step::after names earlier steps only;
// (3) a partition is opened (or forked) once and closed once; (4) each context is prefilled once, whatever the number
// of its outputs.
#pragma once

#include "base/id.h"
#include "base/json.h"
#include "base/result.h"
#include "conversation/scenario.h"
#include "engine/engine.h"
#include "plan/condition.h"
#include "prompt/format.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::plan {

using StepId = Id<struct StepTag>;

enum class StepKind { kOpen, kPrefill, kFork, kGenerate, kSend, kClose };
[[nodiscard]] std::string_view name(StepKind kind) noexcept;

// One step. Fields that a kind does not use are empty.
struct Step {
  StepId id{0};
  StepKind kind = StepKind::kOpen;
  std::size_t context = 0;       // index into Plan::contexts
  std::string partition;         // whom it acts on: "semantic/cluster_1", a fork "sequential/all/A"
  std::string from;              // kFork: partition copied; kSend: partition whose output is sent
  std::string output;            // kGenerate, kSend, and kPrefill of a prompt: label
  std::uint32_t tokens = 0;      // kOpen: capacity; kPrefill: computed; kFork: taken over; kGenerate: at most
  bool awaits_messages = false;  // kOpen, kPrefill, kFork: `tokens` is a bound (kOpen) or leaves the messages out
  std::vector<StepId> after;
};

struct OutputPlan {
  std::string label;
  std::string cluster;
  std::string prompt;  // text that asks for it
  std::uint32_t max_tokens = 0;
};

// Tokens of a context and its outputs, once all messages it waits for are there.
struct ContextTokens {
  conversation::TracedTokens context;               // without prompts: what the seed counts
  std::vector<conversation::TracedTokens> outputs;  // [n_outputs] context and prompt, as generated from
  // Leading tokens, with their origins, common to all outputs: prefilled once. With one output that is all of it; with
  // several, each fork has at least one token of its own to prefill.
  std::size_t shared = 0;
  std::vector<std::string> changes = {};  // what the chat template wanted changed (prompt::Layout)
};

struct ContextPlan {
  const Condition* condition = nullptr;
  ContextSpec spec;
  std::string partition;  // "semantic/cluster_1"
  std::vector<OutputPlan> outputs;
  ContextTokens known;             // messages left out
  std::uint32_t shared_bound = 0;  // ContextTokens::shared at most, messages bounded
  std::uint32_t longest = 0;       // most tokens any of its sequences may reach, messages bounded
};

struct Settings {
  std::vector<std::string> conditions = {};      // names, in order; empty: all
  std::string prompt_set = {};                   // empty: the condition's own
  std::optional<std::uint32_t> new_tokens = {};  // for every output; absent: the format's
};

struct Plan {
  std::shared_ptr<const conversation::Scenario> scenario;
  std::shared_ptr<const prompt::Format> format;
  Settings settings;
  std::vector<ContextPlan> contexts;
  std::vector<Step> steps;

  // A message counts as its output's max_tokens and a little more, for its text is tokenized anew, and with its frame.
  [[nodiscard]] std::uint32_t longest_sequence()
      const noexcept;                                           // most tokens any sequence may reach, messages bounded
  [[nodiscard]] std::uint32_t most_sequences() const noexcept;  // open at once if nothing waits
};

// kUsage for unknown or repeated conditions, unknown prompt sets, a number of new tokens outside 1 to 1,000,000;
// kUnsupported when the format needs a chat template the model lacks.
[[nodiscard]] Result<Plan> make_plan(std::shared_ptr<const conversation::Scenario> scenario,
                                     std::shared_ptr<const prompt::Format> format, const engine::Tokenizer& tokenizer,
                                     const Settings& settings);

// Tokens of one context with the messages (label -> text) it has received.
[[nodiscard]] Result<ContextTokens> context_tokens(const Plan& plan, const ContextPlan& context,
                                                   const engine::Tokenizer& tokenizer,
                                                   const std::map<std::string, std::string>& messages);

// Of these, the tokens of output number `index` alone, context and prompt.
[[nodiscard]] Result<conversation::TracedTokens> output_tokens(const Plan& plan, const ContextPlan& context,
                                                               std::size_t index, const engine::Tokenizer& tokenizer,
                                                               const std::map<std::string, std::string>& messages);

// The plan as JSON, and as a table for people: every step with its token count.
[[nodiscard]] Json to_json(const Plan& plan);
[[nodiscard]] std::string to_text(const Plan& plan);

}  // namespace bulkhead::plan
