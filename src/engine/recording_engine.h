// SPDX-License-Identifier: MIT
// An engine that writes down what is done to another: the transcript by which `bulkhead verify RUN` makes the calls of
// each partition again.
#pragma once

#include "engine/engine.h"
#include "engine/transcript.h"

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

namespace bulkhead::engine {

// Passes every call on and keeps calls and results. Contract and thread rule are those of the engine inside. A failed
// open or fork is not kept: it made nothing that could show anything. A job is kept at its end, as the prefill and the
// generation that it was. A snapshot is kept as a fork that nobody uses,
// and a restore as a fork of that one; what is restored from a snapshot that was not made here is not kept.
class RecordingEngine final : public Engine {
 public:
  explicit RecordingEngine(std::unique_ptr<Engine> inner) : inner_(std::move(inner)) {}

  // All calls so far; grows with the next one.
  [[nodiscard]] const Transcript& transcript() const { return transcript_; }

  [[nodiscard]] const Facts& facts() const override { return inner_->facts(); }
  [[nodiscard]] const Tokenizer& tokenizer() const override { return inner_->tokenizer(); }
  [[nodiscard]] bool can(Capability capability) const override { return inner_->can(capability); }
  [[nodiscard]] Result<WorkerMemory> worker_memory() const override { return inner_->worker_memory(); }
  [[nodiscard]] std::uint64_t kv_bytes_taken() const override { return inner_->kv_bytes_taken(); }
  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override {
    return inner_->bytes_for(sequences, tokens_each);
  }
  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override {
    return inner_->reserve(sequences, tokens_each);
  }
  [[nodiscard]] Result<SequenceId> open(const OpenOptions& options) override;
  [[nodiscard]] Result<JobId> submit(Job job) override;
  void cancel(JobId job) override { inner_->cancel(job); }
  void advance(const StepLimits& limits, std::vector<JobEvent>& events) override;
  void wake() noexcept override { inner_->wake(); }
  [[nodiscard]] std::size_t running_jobs() const override { return inner_->running_jobs(); }
  [[nodiscard]] Result<PrefillResult> prefill(SequenceId sequence, std::span<const Token> tokens,
                                              std::stop_token cancel, const PrefillProgress& progress) override;
  [[nodiscard]] Result<PrefillResult> truncate(SequenceId sequence, std::uint32_t tokens) override;
  [[nodiscard]] Result<ForkResult> fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) override;
  [[nodiscard]] std::vector<Result<GenerateResult>> generate(std::span<const GenerateRequest> requests) override;
  [[nodiscard]] Result<std::vector<double>> score(SequenceId sequence, std::span<const Token> tokens) override;
  [[nodiscard]] Result<SequenceState> inspect(SequenceId sequence) const override { return inner_->inspect(sequence); }
  [[nodiscard]] Result<std::uint64_t> state_hash(SequenceId sequence) const override {
    return inner_->state_hash(sequence);
  }
  [[nodiscard]] Result<Snapshot> snapshot(SequenceId sequence) override;
  [[nodiscard]] Result<SequenceId> restore(const Snapshot& snapshot, const OpenOptions& options) override;
  [[nodiscard]] Result<void> close(SequenceId sequence) override;

 private:
  Call& note(CallKind kind, std::uint32_t sequence);
  void note_prefill(std::uint32_t sequence, std::span<const Token> tokens, std::string outcome);
  void note_generation(std::uint32_t sequence, const GenerateOptions& options, const Result<GenerateResult>& result);
  void note_outcome(const Job& job, const Result<JobResult>& outcome);
  // The transcript's number of an open sequence; null: not opened here, and nothing is kept of it.
  [[nodiscard]] const std::uint32_t* number_of(SequenceId sequence) const;
  std::uint32_t add(SequenceId sequence);
  void note_fork(std::uint32_t source, std::uint32_t tokens, std::uint32_t made, const OpenOptions& options);

  std::unique_ptr<Engine> inner_;
  Transcript transcript_;
  std::map<SequenceId, std::uint32_t> numbers_;  // those open
  struct Kept {
    std::uint32_t number = 0;
    std::uint32_t tokens = 0;
  };
  std::map<std::uint64_t, Kept> snapshots_;  // by a hash of their bytes
  std::map<JobId, Job> jobs_;                // those running
  std::uint32_t next_call_ = 0;
  std::uint32_t next_sequence_ = 0;
};

}  // namespace bulkhead::engine
