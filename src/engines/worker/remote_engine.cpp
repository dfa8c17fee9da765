// SPDX-License-Identifier: MIT
#include "engines/worker/remote_engine.h"

#include "base/bytes.h"
#include "engine/model_options_json.h"
#include "engines/worker/answer_form.h"
#include "engines/worker/generation.h"
#include "engines/worker/values.h"

#include <fmt/format.h>

#include <utility>

namespace bulkhead::engines::worker {
namespace {

using engine::GenerateRequest;
using engine::GenerateResult;
using engine::PrefillResult;
using engine::SequenceId;
using engine::SequenceState;
using engine::Snapshot;
using engine::Token;
using Clock = std::chrono::steady_clock;

Error not_open(SequenceId id) {
  return {ErrorCode::kClosed, fmt::format("sequence {} is not open", id.value()), {}, {}};
}

}  // namespace

Result<LoadedWorker> load_worker(const ModelOptions& options, const WorkerCommand& command) {
  if (options.guard != Guard::kNone) {
    return Error{ErrorCode::kUsage, "a guard cannot watch another process", "--guard",
                 "use it with --engine llama and --grade buffer"};
  }
  LoadedWorker loaded;
  BH_TRY(loaded.worker, WorkerLink::start(command));
  auto inner = options;
  inner.grade = Grade::kBuffer;
  BH_TRY(const auto description, loaded.worker->call({{"do", "load"}, {"options", engine::to_json(inner)}}));
  BH_CHECK(read_form([&]() -> Result<void> {
    loaded.facts = facts_from(description.head.at("facts"));
    loaded.capabilities = description.head.at("capabilities").get<std::set<std::string>>();
    return {};
  }));
  return loaded;
}

Json with_options(Json head, const engine::OpenOptions& options) {
  head["capacity_tokens"] = options.capacity_tokens;
  head["only_forked"] = options.only_forked;
  return head;
}

Result<std::uint32_t> sequence_in(const Frame& answer) {
  return read_form([&]() -> Result<std::uint32_t> { return answer.head.at("sequence").get<std::uint32_t>(); });
}

RemoteEngine::RemoteEngine(engine::Facts facts, std::set<std::string> capabilities,
                           std::unique_ptr<RemoteTokenizer> tokenizer, Grade grade)
    : facts_(std::move(facts)), capabilities_(std::move(capabilities)), tokenizer_(std::move(tokenizer)) {
  facts_.grade = grade;
}

bool RemoteEngine::can(engine::Capability capability) const {
  return capabilities_.contains(std::string(engine::name(capability)));
}

Result<const RemoteEngine::Remote*> RemoteEngine::find(SequenceId id) const {
  const auto found = remotes_.find(id);
  if (found == remotes_.end() || found->second.poisoned) return not_open(id);
  return &found->second;
}

Result<Frame> RemoteEngine::ask(SequenceId id, Json head, const std::stop_token& cancel,
                                const engine::PrefillProgress& progress) const {
  BH_TRY(const auto* remote, find(id));
  head["sequence"] = remote->sequence;
  auto answer = remote->worker->call(std::move(head), {}, cancel, progress);
  if (!answer.ok() && answer.error().code == ErrorCode::kRemote) remotes_.at(id).poisoned = true;
  return answer;
}

SequenceId RemoteEngine::keep(std::shared_ptr<WorkerLink> worker, std::uint32_t sequence) {
  const auto id = engine::new_sequence_id();
  remotes_.emplace(id, Remote{std::move(worker), sequence});
  return id;
}

Result<void> RemoteEngine::check_tokens(std::uint32_t tokens_each) const {
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

Result<PrefillResult> RemoteEngine::prefill(SequenceId id, std::span<const Token> tokens, std::stop_token cancel,
                                            const engine::PrefillProgress& progress) {
  const auto begin = Clock::now();
  const std::vector<Token> list(tokens.begin(), tokens.end());
  BH_TRY(const auto done, ask(id, {{"do", "prefill"}, {"tokens", list}}, cancel, progress));
  return read_form([&]() -> Result<PrefillResult> {
    return PrefillResult{done.head.at("tokens").get<std::uint32_t>(), Clock::now() - begin};
  });
}

std::vector<Result<GenerateResult>> RemoteEngine::generate(std::span<const GenerateRequest> requests) {
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
  auto results = worker::generate(parts, *tokenizer_);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const bool failed = !results[i].ok() && results[i].error().code == ErrorCode::kRemote;
    if (failed) remotes_.at(requests[i].sequence).poisoned = true;
  }
  return results;
}

Result<std::vector<double>> RemoteEngine::score(SequenceId id, std::span<const Token> tokens) {
  const std::vector<Token> list(tokens.begin(), tokens.end());
  BH_TRY(const auto done, ask(id, {{"do", "score"}, {"tokens", list}}));
  ByteReader reader(done.tail);
  auto scores = reader.list<double>(tokens.size());
  if (reader.failed()) return other_form("there are too few scores");
  return scores;
}

Result<SequenceState> RemoteEngine::inspect(SequenceId id) const {
  BH_TRY(const auto told, ask(id, {{"do", "inspect"}}));
  return read_form([&]() -> Result<SequenceState> { return sequence_state_from(told.head); });
}

Result<std::uint64_t> RemoteEngine::state_hash(SequenceId id) const {
  BH_TRY(const auto told, ask(id, {{"do", "state_hash"}}));
  return read_form([&]() -> Result<std::uint64_t> { return from_hex(told.head.at("hash")); });
}

Result<Snapshot> RemoteEngine::snapshot(SequenceId id) {
  BH_TRY(auto kept, ask(id, {{"do", "snapshot"}}));
  return Snapshot(std::move(kept.tail));
}

void RemoteEngine::close_all() {
  while (!remotes_.empty()) static_cast<void>(RemoteEngine::close(remotes_.begin()->first));
}

Result<void> RemoteEngine::close(SequenceId id) {
  const auto found = remotes_.find(id);
  if (found == remotes_.end()) return not_open(id);
  // A worker that nobody else needs ends with this.
  if (found->second.worker.use_count() > 1 && found->second.worker->alive()) {
    static_cast<void>(found->second.worker->call({{"do", "close"}, {"sequence", found->second.sequence}}));
  }
  remotes_.erase(found);
  return {};
}

}  // namespace bulkhead::engines::worker
