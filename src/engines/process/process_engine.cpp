// SPDX-License-Identifier: MIT
#include "engines/process/process_engine.h"

#include "engine/clock.h"
#include "engine/json_fields.h"
#include "engines/worker/remote_engine.h"
#include "measure/available_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace bulkhead::engines::process {
namespace {

using engine::ForkResult;
using engine::OpenOptions;
using engine::SequenceId;
using engine::Snapshot;
using engine::WorkerMemory;
using worker::Frame;
using worker::load_worker;
using worker::read_answer;
using worker::RemoteTokenizer;
using worker::saturated_product;
using worker::with_options;
using worker::WorkerLink;
using Clock = std::chrono::steady_clock;

class ProcessEngine final : public worker::RemoteEngine {
 public:
  ProcessEngine(ModelOptions options, WorkerCommand command, worker::LoadedWorker first,
                std::unique_ptr<RemoteTokenizer> tokenizer)
      : RemoteEngine(std::move(first.facts), std::move(first.capabilities), std::move(tokenizer), Grade::kProcess,
                     options.clock),
        options_(std::move(options)),
        command_(std::move(command)),
        spare_(std::move(first.worker)),
        first_(spare_) {}

  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override;
  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override;
  [[nodiscard]] Result<SequenceId> open(const OpenOptions& options) override;
  [[nodiscard]] Result<ForkResult> fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) override;
  [[nodiscard]] Result<SequenceId> restore(const Snapshot& snapshot, const OpenOptions& options) override;
  [[nodiscard]] Result<void> close(SequenceId id) override;
  [[nodiscard]] Result<WorkerMemory> worker_memory() const override;

 private:
  [[nodiscard]] Result<void> check_memory(std::uint32_t sequences, std::uint32_t tokens_each) const;
  [[nodiscard]] Result<std::shared_ptr<WorkerLink>> worker_for(std::uint32_t capacity);
  [[nodiscard]] WorkerMemory memory_now() const;
  [[nodiscard]] Result<Snapshot> part_of(SequenceId source, std::uint32_t tokens, ForkResult& counts);

  ModelOptions options_;
  WorkerCommand command_;
  std::shared_ptr<WorkerLink> spare_;  // loaded, and has not held a sequence yet; may be null
  std::weak_ptr<WorkerLink> first_;    // the tokenizer keeps it
  WorkerMemory most_;                  // of those that were there at once
};

std::uint64_t ProcessEngine::bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const {
  const auto known =
      std::find_if(remotes().begin(), remotes().end(), [](const auto& entry) { return entry.second.worker->alive(); });
  const auto& worker = spare_ || known == remotes().end() ? spare_ : known->second.worker;
  std::uint64_t each = saturated_product(facts().kv_bytes_per_token, tokens_each);  // at least
  if (worker) {
    const auto answer = worker->call({{"do", "bytes_for"}, {"sequences", 1}, {"tokens_each", tokens_each}});
    const auto bytes = answer.ok()
                           ? read_answer(*worker, answer.value(),
                                         [](const JsonView& ok) {
                                           return engine::number<std::uint64_t>(ok, "bytes", 0, std::int64_t{1} << 62U);
                                         })
                           : Result<std::uint64_t>(answer.error());
    if (bytes.ok()) each = std::max(each, bytes.value());
  }
  return saturated_product(sequences, facts().model_bytes + each);
}

Result<void> ProcessEngine::check_memory(std::uint32_t sequences, std::uint32_t tokens_each) const {
  const auto needed = bytes_for(sequences, tokens_each);
  const auto held = spare_ && sequences > 0 ? facts().model_bytes : 0;  // its weights are there already
  const auto available = measure::available_memory();
  if (needed <= available + held) return {};
  return Error{
      ErrorCode::kResource,
      fmt::format("{} processes with weights of {} MiB and {} tokens each need {} MiB, {} MiB are available", sequences,
                  facts().model_bytes >> 20U, tokens_each, (needed - held) >> 20U, available >> 20U),
      {},
      "use fewer or shorter sequences, or grade buffer, which loads the weights once"};
}

// Only checks: a process starts when its sequence is opened.
Result<void> ProcessEngine::reserve(std::uint32_t sequences, std::uint32_t tokens_each) {
  BH_CHECK(check_tokens(tokens_each));
  return check_memory(sequences, tokens_each);
}

// A worker with the model and room for `capacity` tokens that has never held a sequence.
Result<std::shared_ptr<WorkerLink>> ProcessEngine::worker_for(std::uint32_t capacity) {
  BH_CHECK(check_tokens(capacity));
  BH_CHECK(check_memory(1, capacity));
  auto worker = std::exchange(spare_, nullptr);
  if (!worker || !worker->alive()) {
    BH_TRY(auto loaded, load_worker(options_, command_));
    BH_CHECK(worker::check_same_model(facts(), loaded.facts));
    worker = std::move(loaded.worker);
  }
  BH_CHECK(worker->call({{"do", "reserve"}, {"sequences", 1}, {"tokens_each", capacity}}));
  return worker;
}

Result<SequenceId> ProcessEngine::open(const OpenOptions& options) {
  BH_TRY(auto worker, worker_for(options.capacity_tokens));
  BH_TRY(const auto made, worker->call(with_options({{"do", "open"}}, options)));
  return keep(worker, made, options, 0);
}

// The snapshot of the first `tokens` tokens of `source`; `counts` gets what was taken over and what computed.
Result<Snapshot> ProcessEngine::part_of(SequenceId source, std::uint32_t tokens, ForkResult& counts) {
  BH_TRY(const auto state, inspect(source));
  counts.reused_tokens = tokens;
  if (tokens == state.tokens) return snapshot(source);
  // Inside its own process, where the cells are, and beside the source.
  const auto nothing = [](const Frame& /*answer*/, const JsonView& /*ok*/) -> Result<void> { return {}; };
  BH_CHECK(ask(source, {{"do", "reserve"}, {"sequences", 1}, {"tokens_each", tokens}}, {}, nothing));
  const auto read = [&](const Frame& /*answer*/, const JsonView& ok) -> Result<std::uint32_t> {
    const std::int64_t most = tokens;
    BH_TRY(counts.reused_tokens, engine::number<std::uint32_t>(ok, "reused_tokens", 0, most));
    const auto rest = most - counts.reused_tokens;
    BH_TRY(counts.prefilled_tokens, engine::number<std::uint32_t>(ok, "prefilled_tokens", rest, rest));
    return engine::number<std::uint32_t>(ok, "sequence");
  };
  BH_TRY(const auto beside,
         ask(source, with_options({{"do", "fork"}, {"tokens", tokens}}, {.capacity_tokens = tokens}), {}, read));
  auto& worker = *remotes().at(source).worker;
  BH_TRY(auto kept, worker.call({{"do", "snapshot"}, {"sequence", beside}}, {}, expected_snapshot()));
  BH_CHECK(worker.call({{"do", "close"}, {"sequence", beside}}));
  return Snapshot(std::move(kept.tail));
}

Result<ForkResult> ProcessEngine::fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) {
  const auto begin = Clock::now();
  BH_TRY(const auto state, inspect(source));
  BH_CHECK(check_idle(source));
  if (tokens > state.tokens) {
    return Error{ErrorCode::kBadInput, fmt::format("a fork at token {} of {}", tokens, state.tokens), {}, {}};
  }
  if (tokens > options.capacity_tokens) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens do not fit into {}", tokens, options.capacity_tokens),
                 {},
                 "fork it with more room"};
  }
  ForkResult result;
  if (tokens == 0) {
    BH_TRY(result.sequence, open(options));
  } else {
    BH_TRY(const auto kept, part_of(source, tokens, result));
    BH_TRY(result.sequence, restore(kept, options));
  }
  result.time = Clock::now() - begin;
  return result;
}

Result<SequenceId> ProcessEngine::restore(const Snapshot& snapshot, const OpenOptions& options) {
  BH_TRY(auto worker, worker_for(options.capacity_tokens));
  BH_TRY(const auto made, worker->call(with_options({{"do", "restore"}}, options), snapshot.bytes()));
  return keep(worker, made, options);
}

// Of the workers that live; one that cannot say counts without its memory.
WorkerMemory ProcessEngine::memory_now() const {
  std::set<std::shared_ptr<WorkerLink>> workers = {spare_, first_.lock()};
  for (const auto& [id, remote] : remotes()) workers.insert(remote.worker);
  WorkerMemory now;
  for (const auto& worker : workers) {
    if (!worker || !worker->alive()) continue;
    ++now.processes;
    const auto told = worker->call({{"do", "memory"}});
    if (!told.ok()) continue;
    const auto bytes = read_answer(*worker, told.value(), [](const JsonView& ok) {
      return engine::number<std::uint64_t>(ok, "peak_rss_bytes", 0, std::int64_t{1} << 50U);
    });
    if (bytes.ok()) now.peak_rss_bytes += bytes.value();
  }
  return now;
}

// Partitions end before anybody asks, and their workers with them: the most is noted while it is there.
Result<void> ProcessEngine::close(SequenceId id) {
  BH_TRY(most_, worker_memory());
  return RemoteEngine::close(id);
}

Result<WorkerMemory> ProcessEngine::worker_memory() const {
  const auto now = memory_now();
  return now.peak_rss_bytes > most_.peak_rss_bytes ? now : most_;
}

}  // namespace

Result<std::unique_ptr<engine::Engine>> make_process_engine(const ModelOptions& options, const WorkerCommand& command) {
  auto clocked = options;  // all children take the same time for now
  BH_TRY(clocked.clock, engine::clock_from(options.clock));
  BH_TRY(auto first, load_worker(clocked, command));
  const auto another = [clocked, command]() -> Result<std::shared_ptr<WorkerLink>> {
    BH_TRY(auto loaded, load_worker(clocked, command));
    return std::move(loaded.worker);
  };
  BH_TRY(auto tokenizer, RemoteTokenizer::fetch(first.facts.vocabulary, first.worker, another, clocked.clock));
  return std::unique_ptr<engine::Engine>(
      std::make_unique<ProcessEngine>(clocked, command, std::move(first), std::move(tokenizer)));
}

Result<std::unique_ptr<engine::Engine>> make_process_engine(const ModelOptions& options) {
  BH_TRY(const auto command, worker_command());
  return make_process_engine(options, command);
}

}  // namespace bulkhead::engines::process
