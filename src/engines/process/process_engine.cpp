// SPDX-License-Identifier: MIT
#include "engines/process/process_engine.h"

#include "base/bytes.h"
#include "engine/model_options_json.h"
#include "engines/process/answer_form.h"
#include "engines/process/generation.h"
#include "engines/process/remote_tokenizer.h"
#include "engines/process/values.h"
#include "measure/available_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace bulkhead::engines::process {
namespace {

using engine::Capability;
using engine::Duration;
using engine::ForkResult;
using engine::GenerateRequest;
using engine::GenerateResult;
using engine::OpenOptions;
using engine::PrefillResult;
using engine::SequenceId;
using engine::SequenceState;
using engine::Snapshot;
using engine::Token;
using Clock = std::chrono::steady_clock;

// A sequence and the worker that holds it.
struct Remote {
  std::shared_ptr<WorkerLink> worker;
  std::uint32_t sequence = 0;  // the worker's own id
  bool poisoned = false;
};

Error not_open(SequenceId id) {
  return {ErrorCode::kClosed, fmt::format("sequence {} is not open", id.value()), {}, {}};
}

Json with_options(Json head, const OpenOptions& options) {
  head["capacity_tokens"] = options.capacity_tokens;
  head["only_forked"] = options.only_forked;
  return head;
}

// A worker with the model in it, and what that says of itself.
struct Loaded {
  std::shared_ptr<WorkerLink> worker;
  Frame description;
};

Result<Loaded> load_worker(const ModelOptions& options, const WorkerCommand& command) {
  if (options.guard != Guard::kNone) {
    return Error{ErrorCode::kUsage, "a process of its own needs no guard", "--guard", "use it with --grade buffer"};
  }
  BH_TRY(auto worker, WorkerLink::start(command));
  auto inner = options;
  inner.grade = Grade::kBuffer;
  BH_TRY(auto description, worker->call({{"do", "load"}, {"options", engine::to_json(inner)}}));
  return Loaded{std::move(worker), std::move(description)};
}

class ProcessEngine final : public engine::Engine {
 public:
  ProcessEngine(ModelOptions options, WorkerCommand command, std::shared_ptr<WorkerLink> first, engine::Facts facts,
                std::set<std::string> capabilities, std::unique_ptr<RemoteTokenizer> tokenizer)
      : options_(std::move(options)),
        command_(std::move(command)),
        facts_(std::move(facts)),
        capabilities_(std::move(capabilities)),
        tokenizer_(std::move(tokenizer)),
        spare_(std::move(first)) {
    facts_.grade = Grade::kProcess;
  }

  [[nodiscard]] const engine::Facts& facts() const override { return facts_; }
  [[nodiscard]] const engine::Tokenizer& tokenizer() const override { return *tokenizer_; }
  [[nodiscard]] bool can(Capability capability) const override {
    return capabilities_.contains(std::string(engine::name(capability)));
  }
  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override;
  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override;
  [[nodiscard]] Result<SequenceId> open(const OpenOptions& options) override;
  [[nodiscard]] Result<PrefillResult> prefill(SequenceId id, std::span<const Token> tokens,
                                              std::stop_token cancel) override;
  [[nodiscard]] Result<ForkResult> fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) override;
  [[nodiscard]] std::vector<Result<GenerateResult>> generate(std::span<const GenerateRequest> requests) override;
  [[nodiscard]] Result<std::vector<double>> score(SequenceId id, std::span<const Token> tokens) override;
  [[nodiscard]] Result<SequenceState> inspect(SequenceId id) const override;
  [[nodiscard]] Result<std::uint64_t> state_hash(SequenceId id) const override;
  [[nodiscard]] Result<Snapshot> snapshot(SequenceId id) override;
  [[nodiscard]] Result<SequenceId> restore(const Snapshot& snapshot, const OpenOptions& options) override;
  [[nodiscard]] Result<void> close(SequenceId id) override;

 private:
  [[nodiscard]] Result<const Remote*> find(SequenceId id) const;
  [[nodiscard]] Result<Frame> ask(SequenceId id, Json head, const std::stop_token& cancel = {}) const;
  [[nodiscard]] Result<void> check_tokens(std::uint32_t tokens_each) const;
  [[nodiscard]] Result<void> check_memory(std::uint32_t sequences, std::uint32_t tokens_each) const;
  [[nodiscard]] Result<std::shared_ptr<WorkerLink>> worker_for(std::uint32_t capacity);
  [[nodiscard]] SequenceId keep(std::shared_ptr<WorkerLink> worker, std::uint32_t sequence);
  [[nodiscard]] Result<Frame> part_of(SequenceId source, std::uint32_t tokens, Json& counts);

  ModelOptions options_;
  WorkerCommand command_;
  engine::Facts facts_;
  std::set<std::string> capabilities_;
  std::unique_ptr<RemoteTokenizer> tokenizer_;
  std::shared_ptr<WorkerLink> spare_;             // loaded, and has not held a sequence yet; may be null
  mutable std::map<SequenceId, Remote> remotes_;  // open and poisoned ones
  std::uint32_t next_id_ = 0;
};

Result<const Remote*> ProcessEngine::find(SequenceId id) const {
  const auto found = remotes_.find(id);
  if (found == remotes_.end() || found->second.poisoned) return not_open(id);
  return &found->second;
}

// One request about one sequence. A worker that fails takes its sequence along.
Result<Frame> ProcessEngine::ask(SequenceId id, Json head, const std::stop_token& cancel) const {
  BH_TRY(const auto* remote, find(id));
  head["sequence"] = remote->sequence;
  auto answer = remote->worker->call(std::move(head), {}, cancel);
  if (!answer.ok() && answer.error().code == ErrorCode::kRemote) remotes_.at(id).poisoned = true;
  return answer;
}

std::uint64_t ProcessEngine::bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const {
  const auto known =
      std::find_if(remotes_.begin(), remotes_.end(), [](const auto& entry) { return entry.second.worker->alive(); });
  const auto& worker = spare_ || known == remotes_.end() ? spare_ : known->second.worker;
  std::uint64_t each = facts_.kv_bytes_per_token * tokens_each;  // at least
  if (worker) {
    const auto answer = worker->call({{"do", "bytes_for"}, {"sequences", 1}, {"tokens_each", tokens_each}});
    const auto bytes = read_form([&]() -> Result<std::uint64_t> {
      BH_CHECK(answer);
      return answer.value().head.at("bytes").get<std::uint64_t>();
    });
    if (bytes.ok()) each = std::max(each, bytes.value());
  }
  return sequences * (facts_.model_bytes + each);
}

Result<void> ProcessEngine::check_tokens(std::uint32_t tokens_each) const {
  if (tokens_each == 0) return Error{ErrorCode::kBadInput, "a sequence needs room for at least one token", {}, {}};
  if (tokens_each > facts_.context_tokens) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens are {} more than the context of {}", tokens_each,
                             tokens_each - facts_.context_tokens, facts_.context_tokens),
                 {},
                 "use less text, or a larger context (-c) where the model allows it"};
  }
  return {};
}

Result<void> ProcessEngine::check_memory(std::uint32_t sequences, std::uint32_t tokens_each) const {
  const auto needed = bytes_for(sequences, tokens_each);
  const auto held = spare_ && sequences > 0 ? facts_.model_bytes : 0;  // its weights are there already
  const auto available = measure::available_memory();
  if (needed <= available + held) return {};
  return Error{ErrorCode::kResource,
               fmt::format("{} processes with weights of {} MiB and {} tokens each need {} MiB, {} MiB are available",
                           sequences, facts_.model_bytes >> 20U, tokens_each, (needed - held) >> 20U, available >> 20U),
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
    worker = std::move(loaded.worker);
  }
  BH_CHECK(worker->call({{"do", "reserve"}, {"sequences", 1}, {"tokens_each", capacity}}));
  return worker;
}

SequenceId ProcessEngine::keep(std::shared_ptr<WorkerLink> worker, std::uint32_t sequence) {
  const SequenceId id(next_id_++);
  remotes_.emplace(id, Remote{std::move(worker), sequence});
  return id;
}

Result<SequenceId> ProcessEngine::open(const OpenOptions& options) {
  BH_TRY(auto worker, worker_for(options.capacity_tokens));
  BH_TRY(const auto made, worker->call(with_options({{"do", "open"}}, options)));
  BH_TRY(const auto sequence,
         read_form([&]() -> Result<std::uint32_t> { return made.head.at("sequence").get<std::uint32_t>(); }));
  return keep(std::move(worker), sequence);
}

Result<PrefillResult> ProcessEngine::prefill(SequenceId id, std::span<const Token> tokens, std::stop_token cancel) {
  const auto begin = Clock::now();
  const std::vector<Token> list(tokens.begin(), tokens.end());
  BH_TRY(const auto done, ask(id, {{"do", "prefill"}, {"tokens", list}}, cancel));
  return read_form([&]() -> Result<PrefillResult> {
    return PrefillResult{done.head.at("tokens").get<std::uint32_t>(), Clock::now() - begin};
  });
}

// The snapshot of the first `tokens` tokens of `source`; `counts` says what was taken over and what computed.
Result<Frame> ProcessEngine::part_of(SequenceId source, std::uint32_t tokens, Json& counts) {
  BH_TRY(const auto state, inspect(source));
  counts = {{"reused_tokens", tokens}, {"prefilled_tokens", 0}};
  if (tokens == state.tokens) return ask(source, {{"do", "snapshot"}});
  // Inside its own process, where the cells are, and beside the source.
  BH_CHECK(ask(source, {{"do", "reserve"}, {"sequences", 1}, {"tokens_each", tokens}}));
  BH_TRY(const auto made, ask(source, with_options({{"do", "fork"}, {"tokens", tokens}}, {.capacity_tokens = tokens})));
  counts = made.head;
  auto& worker = *remotes_.at(source).worker;
  const auto beside = made.head["sequence"];
  auto kept = worker.call({{"do", "snapshot"}, {"sequence", beside}});
  BH_CHECK(worker.call({{"do", "close"}, {"sequence", beside}}));
  return kept;
}

Result<ForkResult> ProcessEngine::fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) {
  const auto begin = Clock::now();
  BH_TRY(const auto state, inspect(source));
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
    Json counts;
    BH_TRY(auto kept, part_of(source, tokens, counts));
    BH_TRY(result.sequence, restore(Snapshot(std::move(kept.tail)), options));
    result.reused_tokens = counts.value("reused_tokens", 0U);
    result.prefilled_tokens = counts.value("prefilled_tokens", 0U);
  }
  result.time = Clock::now() - begin;
  return result;
}

std::vector<Result<GenerateResult>> ProcessEngine::generate(std::span<const GenerateRequest> requests) {
  std::vector<Part> parts;
  std::set<SequenceId> seen;
  for (const auto& request : requests) {
    Part part{.request = &request, .refused = {}, .worker = {}};
    const auto remote = find(request.sequence);
    if (!remote.ok()) {
      part.refused = remote.error();
    } else if (!seen.insert(request.sequence).second) {
      part.refused =
          Error{ErrorCode::kBadInput, fmt::format("sequence {} appears twice", request.sequence.value()), {}, {}};
    } else {
      part.worker = remote.value()->worker;
      part.sequence = remote.value()->sequence;
    }
    parts.push_back(std::move(part));
  }
  auto results = process::generate(parts, *tokenizer_);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const bool failed = !results[i].ok() && results[i].error().code == ErrorCode::kRemote;
    if (failed) remotes_.at(requests[i].sequence).poisoned = true;
  }
  return results;
}

Result<std::vector<double>> ProcessEngine::score(SequenceId id, std::span<const Token> tokens) {
  const std::vector<Token> list(tokens.begin(), tokens.end());
  BH_TRY(const auto done, ask(id, {{"do", "score"}, {"tokens", list}}));
  ByteReader reader(done.tail);
  auto scores = reader.list<double>(tokens.size());
  if (reader.failed()) return other_form("there are too few scores");
  return scores;
}

Result<SequenceState> ProcessEngine::inspect(SequenceId id) const {
  BH_TRY(const auto told, ask(id, {{"do", "inspect"}}));
  return read_form([&]() -> Result<SequenceState> { return sequence_state_from(told.head); });
}

Result<std::uint64_t> ProcessEngine::state_hash(SequenceId id) const {
  BH_TRY(const auto told, ask(id, {{"do", "state_hash"}}));
  return read_form([&]() -> Result<std::uint64_t> { return from_hex(told.head.at("hash")); });
}

// The snapshot of the engine inside, which fits that engine in any process.
Result<Snapshot> ProcessEngine::snapshot(SequenceId id) {
  BH_TRY(auto kept, ask(id, {{"do", "snapshot"}}));
  return Snapshot(std::move(kept.tail));
}

Result<SequenceId> ProcessEngine::restore(const Snapshot& snapshot, const OpenOptions& options) {
  BH_TRY(auto worker, worker_for(options.capacity_tokens));
  BH_TRY(const auto made, worker->call(with_options({{"do", "restore"}}, options), snapshot.bytes()));
  BH_TRY(const auto sequence,
         read_form([&]() -> Result<std::uint32_t> { return made.head.at("sequence").get<std::uint32_t>(); }));
  return keep(std::move(worker), sequence);
}

Result<void> ProcessEngine::close(SequenceId id) {
  const auto found = remotes_.find(id);
  if (found == remotes_.end()) return not_open(id);
  // The process ends, save the one that also tokenizes: there the room is freed.
  if (found->second.worker.use_count() > 1 && found->second.worker->alive()) {
    static_cast<void>(found->second.worker->call({{"do", "close"}, {"sequence", found->second.sequence}}));
  }
  remotes_.erase(found);
  return {};
}

}  // namespace

Result<std::unique_ptr<engine::Engine>> make_process_engine(const ModelOptions& options, const WorkerCommand& command) {
  BH_TRY(auto first, load_worker(options, command));
  BH_TRY(auto facts,
         read_form([&]() -> Result<engine::Facts> { return facts_from(first.description.head.at("facts")); }));
  BH_TRY(auto capabilities, read_form([&]() -> Result<std::set<std::string>> {
           return first.description.head.at("capabilities").get<std::set<std::string>>();
         }));
  const auto another = [options, command]() -> Result<std::shared_ptr<WorkerLink>> {
    BH_TRY(auto loaded, load_worker(options, command));
    return std::move(loaded.worker);
  };
  BH_TRY(auto tokenizer, RemoteTokenizer::fetch(first.worker, another));
  return std::unique_ptr<engine::Engine>(std::make_unique<ProcessEngine>(
      options, command, std::move(first.worker), std::move(facts), std::move(capabilities), std::move(tokenizer)));
}

Result<std::unique_ptr<engine::Engine>> make_process_engine(const ModelOptions& options) {
  BH_TRY(const auto command, worker_command());
  return make_process_engine(options, command);
}

}  // namespace bulkhead::engines::process
