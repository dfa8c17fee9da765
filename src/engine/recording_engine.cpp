// SPDX-License-Identifier: MIT
#include "engine/recording_engine.h"

#include "base/hash.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

namespace bulkhead::engine {
namespace {

template <class Value>
std::string outcome_of(const Result<Value>& result) {
  return result.ok() ? "ok" : std::string(name(result.error().code));
}

}  // namespace

Call& RecordingEngine::note(CallKind kind, std::uint32_t sequence) {
  transcript_.calls.push_back({.number = next_call_, .kind = kind, .sequence = sequence});
  return transcript_.calls.back();
}

const std::uint32_t* RecordingEngine::number_of(SequenceId sequence) const {
  const auto found = numbers_.find(sequence);
  return found == numbers_.end() ? nullptr : &found->second;
}

std::uint32_t RecordingEngine::add(SequenceId sequence) {
  numbers_.emplace(sequence, next_sequence_);
  return next_sequence_++;
}

Result<SequenceId> RecordingEngine::open(const OpenOptions& options) {
  auto made = inner_->open(options);
  if (!made.ok()) return made;
  auto& call = note(CallKind::kOpen, add(made.value()));
  call.partition = options.name;
  call.capacity = options.capacity_tokens;
  ++next_call_;
  return made;
}

void RecordingEngine::note_prefill(std::uint32_t sequence, std::span<const Token> tokens, std::string outcome) {
  auto& call = note(CallKind::kPrefill, sequence);
  call.tokens.assign(tokens.begin(), tokens.end());
  call.outcome = std::move(outcome);
  ++next_call_;
}

Result<PrefillResult> RecordingEngine::prefill(SequenceId sequence, std::span<const Token> tokens,
                                               std::stop_token cancel, const PrefillProgress& progress) {
  auto result = inner_->prefill(sequence, tokens, std::move(cancel), progress);
  if (const auto* number = number_of(sequence)) note_prefill(*number, tokens, outcome_of(result));
  return result;
}

Result<JobId> RecordingEngine::submit(Job job) {
  auto kept = job;
  auto made = inner_->submit(std::move(job));
  if (made.ok()) jobs_.emplace(made.value(), std::move(kept));
  return made;
}

void RecordingEngine::advance(const StepLimits& limits, std::vector<JobEvent>& events) {
  const auto before = events.size();
  inner_->advance(limits, events);
  for (auto i = before; i < events.size(); ++i) {
    const auto* outcome = std::get_if<Result<JobResult>>(&events[i].what);
    const auto job = jobs_.find(events[i].job);
    if (outcome == nullptr || job == jobs_.end()) continue;
    note_outcome(job->second, *outcome);
    jobs_.erase(job);
  }
}

void RecordingEngine::note_outcome(const Job& job, const Result<JobResult>& outcome) {
  const auto* number = number_of(job.sequence);
  if (number == nullptr) return;
  const auto prefilled = outcome.ok() ? outcome.value().prefill.tokens : job.prefill.size();
  // Which of both failed is not known: the first is said to have.
  const auto word = outcome_of(outcome);
  if (prefilled > 0) note_prefill(*number, std::span(job.prefill).first(prefilled), word);
  if (!job.generate || prefilled < job.prefill.size() || (prefilled > 0 && !outcome.ok())) return;
  note_generation(*number, *job.generate,
                  outcome.ok() ? Result<GenerateResult>(outcome.value().generated) : outcome.error());
  ++next_call_;
}

Result<PrefillResult> RecordingEngine::truncate(SequenceId sequence, std::uint32_t tokens) {
  auto result = inner_->truncate(sequence, tokens);
  if (const auto* number = number_of(sequence)) {
    auto& call = note(CallKind::kTruncate, *number);
    call.at = tokens;
    call.outcome = outcome_of(result);
    ++next_call_;
  }
  return result;
}

Result<ForkResult> RecordingEngine::fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) {
  auto made = inner_->fork(source, tokens, options);
  const auto* number = number_of(source);
  if (!made.ok() || number == nullptr) return made;
  const auto from = *number;
  note_fork(from, tokens, add(made.value().sequence), options);
  return made;
}

void RecordingEngine::note_fork(std::uint32_t source, std::uint32_t tokens, std::uint32_t made,
                                const OpenOptions& options) {
  auto& call = note(CallKind::kFork, made);
  call.partition = options.name;
  call.source = source;
  call.at = tokens;
  call.capacity = options.capacity_tokens;
  ++next_call_;
}

Result<Snapshot> RecordingEngine::snapshot(SequenceId sequence) {
  auto made = inner_->snapshot(sequence);
  const auto* number = number_of(sequence);
  const auto state = inner_->inspect(sequence);
  if (!made.ok() || number == nullptr || !state.ok()) return made;
  const Kept kept{next_sequence_++, state.value().tokens};
  note_fork(*number, kept.tokens, kept.number, {.capacity_tokens = std::max(kept.tokens, 1U), .name = "a snapshot"});
  snapshots_[xxh3_64(made.value().bytes())] = kept;
  return made;
}

Result<SequenceId> RecordingEngine::restore(const Snapshot& snapshot, const OpenOptions& options) {
  auto made = inner_->restore(snapshot, options);
  const auto kept = snapshots_.find(xxh3_64(snapshot.bytes()));
  if (!made.ok() || kept == snapshots_.end()) return made;
  note_fork(kept->second.number, kept->second.tokens, add(made.value()), options);
  return made;
}

void RecordingEngine::note_generation(std::uint32_t sequence, const GenerateOptions& options,
                                      const Result<GenerateResult>& result) {
  auto& call = note(CallKind::kGenerate, sequence);
  call.options = options;
  call.options.on_token = {};
  call.options.cancel = {};
  call.outcome = outcome_of(result);
  if (!result.ok()) return;
  call.tokens = result.value().tokens;
  call.finish = name(result.value().finish);
  call.logit_hashes = result.value().logit_hashes;
}

std::vector<Result<GenerateResult>> RecordingEngine::generate(std::span<const GenerateRequest> requests) {
  auto results = inner_->generate(requests);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto* number = number_of(requests[i].sequence);
    if (number != nullptr) note_generation(*number, requests[i].options, results[i]);
  }
  ++next_call_;
  return results;
}

Result<std::vector<double>> RecordingEngine::score(SequenceId sequence, std::span<const Token> tokens) {
  auto result = inner_->score(sequence, tokens);
  if (const auto* number = number_of(sequence)) {
    auto& call = note(CallKind::kScore, *number);
    call.tokens.assign(tokens.begin(), tokens.end());
    call.outcome = outcome_of(result);
    if (result.ok()) {
      for (const double value : result.value()) call.score_bits.push_back(std::bit_cast<std::uint64_t>(value));
    }
    ++next_call_;
  }
  return result;
}

Result<void> RecordingEngine::close(SequenceId sequence) {
  auto result = inner_->close(sequence);
  if (const auto* number = number_of(sequence)) {
    note(CallKind::kClose, *number).outcome = outcome_of(result);
    ++next_call_;
    numbers_.erase(sequence);
  }
  return result;
}

}  // namespace bulkhead::engine
