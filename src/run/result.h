// SPDX-License-Identifier: MIT
// What a run gives: outputs, partitions with their ledgers, times, and the isolation verdict. docs/results-format.md
// describes the same as JSON.
#pragma once

#include "base/json.h"
#include "engine/engine.h"
#include "partition/ledger.h"
#include "plan/plan.h"

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::run {

struct OutputResult {
  std::string label;
  std::string cluster;
  std::string partition;  // the one it was generated in
  std::string prompt;
  std::uint32_t input_tokens = 0;  // it was generated from: context and prompt
  std::string input_sha256;        // of these (base/hash.h, sha256_of_tokens)
  engine::GenerateResult generated;
  engine::Duration time_to_first_token{};  // from the first work on its context to its first token
  engine::Duration prefill_time{};         // of its own partition: fork and prompt, or the whole context
  engine::Duration decode_time{};          // first to last token
};

// One context: its cache, shared by the outputs generated from it.
struct PartitionResult {
  std::string name;
  std::vector<std::string> clusters;
  std::vector<int> turns;
  std::uint32_t context_tokens = 0;        // context without prompts, messages included
  std::uint32_t shared_prefix_tokens = 0;  // of these, prefilled once for all outputs
  std::uint64_t prefilled_tokens = 0;      // the context and the prompts of its outputs
  std::uint64_t reused_tokens = 0;         // taken over by the forks
  std::uint64_t generated_tokens = 0;
  std::vector<partition::Receipt> messages;
  std::vector<std::string> template_changes;  // what the chat template wanted changed (prompt::Layout)
  std::uint64_t kv_bytes_used = 0;
  std::uint64_t kv_bytes_allocated = 0;
  engine::Duration prefill_time{};
  conversation::TracedTokens context;  // the context as the ledger has it
};

struct Verdict {
  bool achieved = false;
  std::vector<std::string> reasons = {};  // why not; empty if achieved
};

struct ConditionResult {
  const plan::Condition* condition = nullptr;
  std::vector<PartitionResult> partitions = {};
  std::vector<OutputResult> outputs = {};
  Verdict isolation = {};
  engine::Duration prefill_time{};
  engine::Duration decode_time{};  // its share, by tokens, of the batches its outputs were decoded in
};

struct RunResult {
  std::uint32_t seed = 0;
  bool complete = false;
  std::string incomplete_reason;
  std::vector<ConditionResult> conditions;
  engine::Duration wall_time{};  // first work to last token, weights loaded
};

// One entry of "runs" in results.json.
[[nodiscard]] Json to_json(const RunResult& result, const plan::Plan& plan, const SamplingOptions& sampling);

// One line of samples.jsonl for each output: texts and token ids.
[[nodiscard]] std::vector<std::string> sample_lines(const RunResult& result, const plan::Plan& plan,
                                                    const SamplingOptions& sampling);

}  // namespace bulkhead::run
