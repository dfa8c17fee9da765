// SPDX-License-Identifier: MIT
#include "engine/engine.h"

#include "engine/option_bounds.h"

#include <fmt/format.h>

#include <atomic>
#include <utility>

namespace bulkhead::engine {

SequenceId new_sequence_id() noexcept {
  static std::atomic<std::uint32_t> next = 0;
  return SequenceId(next.fetch_add(1, std::memory_order_relaxed));
}

JobId new_job_id() noexcept {
  static std::atomic<std::uint32_t> next = 0;
  return JobId(next.fetch_add(1, std::memory_order_relaxed));
}

std::string_view name(Capability capability) noexcept {
  switch (capability) {
    case Capability::kFork: return "fork";
    case Capability::kForkEarlier: return "fork_earlier";
    case Capability::kScore: return "score";
    case Capability::kLogitHash: return "logit_hash";
    case Capability::kChatTemplate: return "chat_template";
    case Capability::kSnapshot: return "snapshot";
    case Capability::kConstraint: return "constraint";
    case Capability::kLogitBias: return "logit_bias";
    case Capability::kLogprobs: return "logprobs";
    case Capability::kEmbed: return "embed";
  }
  return "";
}

std::string_view name(GenerateResult::Finish finish) noexcept {
  switch (finish) {
    case GenerateResult::Finish::kEnd: return "end";
    case GenerateResult::Finish::kLength: return "length";
    case GenerateResult::Finish::kStop: return "stop";
    case GenerateResult::Finish::kCancelled: return "cancelled";
  }
  return "";
}

std::string_view name(Grade grade) noexcept {
  switch (grade) {
    case Grade::kProcess: return "process";
    case Grade::kBuffer: return "buffer";
    case Grade::kMask: return "mask";
    case Grade::kClaimed: return "claimed";
  }
  return "";
}

std::string_view name(Isolation isolation) noexcept {
  switch (isolation) {
    case Isolation::kStrict: return "strict";
    case Isolation::kFast: return "fast";
    case Isolation::kAuto: return "auto";
  }
  return "";
}

Result<std::vector<std::vector<double>>> Engine::score_continuations(
    SequenceId sequence, std::span<const std::vector<Token>> continuations) {
  BH_TRY(const auto state, inspect(sequence));
  std::vector<std::vector<double>> all;
  all.reserve(continuations.size());
  for (const auto& continuation : continuations) {
    const auto capacity = state.tokens + static_cast<std::uint32_t>(continuation.size());
    BH_TRY(const auto forked, fork(sequence, state.tokens, {.capacity_tokens = capacity}));
    auto scores = score(forked.sequence, continuation);
    const auto closed = close(forked.sequence);
    if (!scores.ok()) return scores.error();
    if (!closed.ok()) return closed.error();
    all.push_back(std::move(scores).value());
  }
  return all;
}

Result<WorkerMemory> Engine::worker_memory() const {
  return WorkerMemory{};
}

Result<std::uint64_t> Engine::state_hash(SequenceId sequence) const {
  return Error{ErrorCode::kUnsupported,
               fmt::format("this engine gives no hash of the state of sequence {}", sequence.value()),
               {},
               {}};
}

namespace {

Error no_snapshots() {
  return {ErrorCode::kUnsupported, "this engine makes no snapshots", {}, {}};
}

}  // namespace

Result<Snapshot> Engine::snapshot(SequenceId /*sequence*/) {
  return no_snapshots();
}

Result<SequenceId> Engine::restore(const Snapshot& /*snapshot*/, const OpenOptions& /*options*/) {
  return no_snapshots();
}

Result<void> refuse_framework_switches(const ModelOptions& options) {
  const auto refuse = [&](std::string_view flag, std::string advice) {
    return Error{ErrorCode::kUsage, fmt::format("engine {} has no such switch", options.engine), std::string(flag),
                 std::move(advice)};
  };
  if (options.leaky) return refuse("--leaky", "use it with --engine transformers or mlx");
  if (options.attention != "auto") return refuse("--attention", "use it with --engine transformers");
  if (options.positions != "continued") return refuse("--positions", "use it with --engine transformers");
  return {};
}

Result<std::unique_ptr<Engine>> Registry::make(const ModelOptions& options) const {
  BH_CHECK(check_bounds(options));
  std::string known;
  for (const auto& entry : entries_) {
    if (entry.name == options.engine) return entry.make(options);
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  return Error{ErrorCode::kUsage, fmt::format("unknown engine \"{}\"", options.engine), "--engine",
               fmt::format("built in: {}", known)};
}

}  // namespace bulkhead::engine
