// SPDX-License-Identifier: MIT
// The part of an engine that is the same for every engine whose sequences live in workers: each call of the seam about
// one sequence is a request to the worker that holds it.
//
// A worker that dies, hangs or talks rubbish gives kRemote, with the end of its stderr, for the first call about each
// of its sequences; those are poisoned then, and no other is touched. Rubbish is also what cannot be: a token outside
// the vocabulary, a sequence that there is already, another number of scores than of tokens. Jobs are computed where
// their sequences are, all workers at the same time (remote_jobs.h). How sequences are spread over workers, and what
// room is there, is left to the derived engines.
#pragma once

#include "engine/job_engine.h"
#include "engines/worker/remote_jobs.h"
#include "engines/worker/remote_tokenizer.h"
#include "engines/worker/worker_link.h"

#include <bulkhead/options.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::engines::worker {

// A worker with the model in it, and what that says of itself.
struct LoadedWorker {
  std::shared_ptr<WorkerLink> worker;
  engine::Facts facts;
  std::set<std::string> capabilities;
};

// Starts a worker and loads the model in it, as an engine of grade `buffer`. Errors of WorkerLink::start() and of the
// engine inside; kUsage for a guard, which watches this process's memory only.
[[nodiscard]] Result<LoadedWorker> load_worker(const ModelOptions& options, const WorkerCommand& command);

// `head` with the fields of `options` that travel.
[[nodiscard]] Json with_options(Json head, const engine::OpenOptions& options);

// For an engine that has `facts` and starts another worker: kRemote when that one has another model in it, whose tokens
// or cells would not be the same.
[[nodiscard]] Result<void> check_same_model(const engine::Facts& facts, const engine::Facts& another);

// As many bytes as both together, or the most that can be counted.
[[nodiscard]] std::uint64_t saturated_product(std::uint64_t one, std::uint64_t other);

class RemoteEngine : public engine::JobEngine {
 public:
  [[nodiscard]] const engine::Facts& facts() const override { return facts_; }
  [[nodiscard]] const engine::Tokenizer& tokenizer() const override { return *tokenizer_; }
  [[nodiscard]] bool can(engine::Capability capability) const override;
  [[nodiscard]] Result<engine::JobId> submit(engine::Job job) override;
  void cancel(engine::JobId job) override { jobs_.cancel(job); }
  void wake() noexcept override { jobs_.wake(); }
  [[nodiscard]] Result<std::vector<double>> score(engine::SequenceId id,
                                                  std::span<const engine::Token> tokens) override;
  [[nodiscard]] Result<engine::PrefillResult> truncate(engine::SequenceId id, std::uint32_t tokens) override;
  [[nodiscard]] Result<engine::SequenceState> inspect(engine::SequenceId id) const override;
  [[nodiscard]] Result<std::uint64_t> state_hash(engine::SequenceId id) const override;
  // The snapshot of the engine inside, which fits that engine in any process.
  [[nodiscard]] Result<engine::Snapshot> snapshot(engine::SequenceId id) override;
  // Frees the room in the worker, where another one still needs that.
  [[nodiscard]] Result<void> close(engine::SequenceId id) override;

 protected:
  // A sequence and the worker that holds it.
  struct Remote {
    std::shared_ptr<WorkerLink> worker;
    std::uint32_t sequence = 0;                // the worker's own id
    std::uint32_t capacity = 0;                // in tokens
    std::optional<std::uint32_t> tokens = {};  // that it holds, where that is known
    bool poisoned = false;
  };

  RemoteEngine(engine::Facts facts, std::set<std::string> capabilities, std::unique_ptr<RemoteTokenizer> tokenizer,
               Grade grade, std::string clock);

  void step(const engine::StepLimits& limits, std::vector<engine::JobEvent>& events) override;
  [[nodiscard]] std::size_t unfinished_jobs() const override { return jobs_.size(); }
  // kBadInput while a job of it runs: for every call that a busy sequence refuses.
  [[nodiscard]] Result<void> check_idle(engine::SequenceId id) const;
  // kClosed unless it is open and well.
  [[nodiscard]] Result<const Remote*> find(engine::SequenceId id) const;
  // One request about one sequence, and what `read` makes of its answer. After a failure the sequence is as the seam
  // says: unchanged or poisoned.
  template <typename Read>
  [[nodiscard]] auto ask(engine::SequenceId id, Json head, const Expected& expected, const Read& read) const
      -> decltype(read(std::declval<Frame&>(), std::declval<const JsonView&>())) {
    BH_TRY(const auto* remote, find(id));
    const auto worker = remote->worker;
    head["sequence"] = remote->sequence;
    auto answer = worker->call(std::move(head), {}, expected);
    auto value =
        answer.ok() ? read_answer(*worker, answer.value(), [&](const JsonView& ok) { return read(answer.value(), ok); })
                    : decltype(read(answer.value(), answer.value().view()))(answer.error());
    if (!value.ok()) note_failure(id, value.error().code);
    return value;
  }
  // Takes what an "open", "fork" or "restore" made, which holds so many tokens, if that is known. kRemote, and the
  // worker ended, when the id that it gives is already one of its sequences.
  [[nodiscard]] Result<engine::SequenceId> keep(const std::shared_ptr<WorkerLink>& worker, const Frame& made,
                                                const engine::OpenOptions& options,
                                                std::optional<std::uint32_t> tokens = std::nullopt);
  // What a snapshot of this model may have, at most.
  [[nodiscard]] Expected expected_snapshot() const;
  // For an engine whose workers may outlive it. A worker that does not answer is given up.
  void close_all();
  // kBadInput for none, kResource for more than the context.
  [[nodiscard]] Result<void> check_tokens(std::uint32_t tokens_each) const;
  [[nodiscard]] const std::map<engine::SequenceId, Remote>& remotes() const { return remotes_; }

 private:
  void note_failure(engine::SequenceId id, ErrorCode code) const;
  void note_outcome(engine::SequenceId id, const Result<engine::JobResult>& outcome);
  [[nodiscard]] Result<std::uint32_t> tokens_of(engine::SequenceId id) const;

  engine::Facts facts_;
  std::set<std::string> capabilities_;
  std::unique_ptr<RemoteTokenizer> tokenizer_;
  mutable std::map<engine::SequenceId, Remote> remotes_;  // open and poisoned ones
  RemoteJobs jobs_{facts_, *tokenizer_};
};

}  // namespace bulkhead::engines::worker
