// SPDX-License-Identifier: MIT
#include "engines/worker/remote_engine.h"

#include "base/bytes.h"
#include "engine/json_fields.h"
#include "engine/model_options_json.h"
#include "engines/worker/values.h"
#include "measure/available_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

namespace bulkhead::engines::worker {
namespace {

using engine::Job;
using engine::JobEvent;
using engine::JobId;
using engine::JobResult;
using engine::PrefillResult;
using engine::SequenceId;
using engine::SequenceState;
using engine::Snapshot;
using engine::Token;
using Clock = std::chrono::steady_clock;

Error not_open(SequenceId id) {
  return {ErrorCode::kClosed, fmt::format("sequence {} is not open", id.value()), {}, {}};
}

// Found before any work (engine/engine.h): the sequence is as it was.
bool leaves_unchanged(ErrorCode code) {
  return code == ErrorCode::kResource || code == ErrorCode::kBadInput || code == ErrorCode::kUsage ||
         code == ErrorCode::kUnsupported;
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
  BH_CHECK(read_answer(*loaded.worker, description, [&](const JsonView& ok) -> Result<void> {
    BH_TRY(const auto facts, ok.at("facts"));
    BH_TRY(loaded.facts, facts_from(facts));
    BH_TRY(const auto capabilities, ok.at("capabilities"));
    BH_TRY(const auto names, capabilities.strings());
    loaded.capabilities = {names.begin(), names.end()};
    return {};
  }));
  return loaded;
}

Json with_options(Json head, const engine::OpenOptions& options) {
  head["capacity_tokens"] = options.capacity_tokens;
  head["only_forked"] = options.only_forked;
  return head;
}

Result<void> check_same_model(const engine::Facts& facts, const engine::Facts& another) {
  const auto of = [](const engine::Facts& one) {
    return std::tie(one.model_bytes, one.vocabulary, one.context_tokens, one.kv_bytes_per_token, one.architecture,
                    one.model_name);
  };
  if (of(facts) == of(another)) return {};
  return Error{ErrorCode::kRemote,
               fmt::format("another worker of the same model has other weights in it: {} with {} bytes and {} tokens, "
                           "before {} with {} bytes and {} tokens",
                           another.model_name, another.model_bytes, another.vocabulary, facts.model_name,
                           facts.model_bytes, facts.vocabulary),
               facts.model_path, "leave the model's file as it is while it is used"};
}

std::uint64_t saturated_product(std::uint64_t one, std::uint64_t other) {
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  return other != 0 && one > kMost / other ? kMost : one * other;
}

RemoteEngine::RemoteEngine(engine::Facts facts, std::set<std::string> capabilities,
                           std::unique_ptr<RemoteTokenizer> tokenizer, Grade grade, std::string clock)
    : facts_(std::move(facts)), capabilities_(std::move(capabilities)), tokenizer_(std::move(tokenizer)) {
  facts_.grade = grade;
  facts_.clock = std::move(clock);
}

bool RemoteEngine::can(engine::Capability capability) const {
  return capabilities_.contains(std::string(engine::name(capability)));
}

Result<const RemoteEngine::Remote*> RemoteEngine::find(SequenceId id) const {
  const auto found = remotes_.find(id);
  if (found == remotes_.end() || found->second.poisoned) return not_open(id);
  return &found->second;
}

void RemoteEngine::note_failure(SequenceId id, ErrorCode code) const {
  auto& remote = remotes_.at(id);
  remote.tokens.reset();
  if (!leaves_unchanged(code)) remote.poisoned = true;
}

// The sequence may be closed by now.
void RemoteEngine::note_outcome(SequenceId id, const Result<JobResult>& outcome) {
  const auto found = remotes_.find(id);
  if (found == remotes_.end()) return;
  if (!outcome.ok()) return note_failure(id, outcome.error().code);
  auto& held = found->second.tokens;
  const auto added = outcome.value().prefill.tokens + outcome.value().generated.tokens.size();
  if (held) *held += static_cast<std::uint32_t>(added);
}

Result<std::uint32_t> RemoteEngine::tokens_of(SequenceId id) const {
  BH_TRY(const auto* remote, find(id));
  if (remote->tokens) return *remote->tokens;
  BH_TRY(const auto state, inspect(id));
  remotes_.at(id).tokens = state.tokens;
  return state.tokens;
}

Result<SequenceId> RemoteEngine::keep(const std::shared_ptr<WorkerLink>& worker, const Frame& made,
                                      const engine::OpenOptions& options, std::optional<std::uint32_t> tokens) {
  BH_TRY(const auto sequence, read_answer(*worker, made, [&](const JsonView& ok) -> Result<std::uint32_t> {
           BH_TRY(const auto number, engine::number<std::uint32_t>(ok, "sequence"));
           const bool known = std::any_of(remotes_.begin(), remotes_.end(), [&](const auto& entry) {
             return entry.second.worker == worker && entry.second.sequence == number;
           });
           if (known) return ok.fail(fmt::format("its sequence {} is in use", number));
           return number;
         }));
  const auto id = engine::new_sequence_id();
  remotes_.emplace(id, Remote{worker, sequence, options.capacity_tokens, tokens});
  return id;
}

Expected RemoteEngine::expected_snapshot() const {
  // Cells with what is known of each, tokens, one row of logits, and names; engines may store wider numbers than they
  // count. More than the memory holds is not begun.
  constexpr std::uint64_t kNames = std::uint64_t{16} << 20U;
  const auto cells = saturated_product(facts_.context_tokens, 2 * facts_.kv_bytes_per_token + 64);
  const auto most = std::min(cells, measure::available_memory() / 4) + std::uint64_t{facts_.vocabulary} * 8 + kNames;
  return {.tail_bytes = most};
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

Result<void> RemoteEngine::check_idle(SequenceId id) const {
  return jobs_.is_busy(id) ? Result<void>(engine::busy(id)) : Result<void>();
}

Result<JobId> RemoteEngine::submit(Job job) {
  BH_TRY(const auto* remote, find(job.sequence));
  BH_CHECK(check_idle(job.sequence));
  BH_CHECK(engine::check_job(job, *this));
  BH_TRY(const auto held, tokens_of(job.sequence));
  if (job.prefill.empty() && held == 0) {
    return Error{ErrorCode::kBadInput, "the sequence is empty", {}, "prefill it first"};
  }
  if (held + job.prefill.size() > remote->capacity) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens and {} more do not fit into {}", held, job.prefill.size(), remote->capacity),
                 {},
                 "open it with more room"};
  }
  return jobs_.add(std::move(job), remote->worker, remote->sequence);
}

void RemoteEngine::step(const engine::StepLimits& limits, std::vector<JobEvent>& events) {
  const auto note = [this](SequenceId id, const Result<JobResult>& outcome) { note_outcome(id, outcome); };
  jobs_.step(limits, note, events);
}

Result<std::vector<double>> RemoteEngine::score(SequenceId id, std::span<const Token> tokens) {
  BH_CHECK(check_idle(id));
  const std::vector<Token> list(tokens.begin(), tokens.end());
  const auto read = [&](const Frame& answer, const JsonView& ok) -> Result<std::vector<double>> {
    ByteReader reader(answer.tail);
    auto scores = reader.list<double>(tokens.size());
    if (reader.failed() || reader.left() != 0) {
      return ok.fail(fmt::format("{} bytes of scores of {} tokens", answer.tail.size(), tokens.size()));
    }
    if (!std::all_of(scores.begin(), scores.end(), [](double score) { return std::isfinite(score); })) {
      return ok.fail("a score that is no finite number");
    }
    return scores;
  };
  BH_TRY(auto scores, ask(id, {{"do", "score"}, {"tokens", list}},
                          {.tail_bytes = tokens.size() * sizeof(double), .events = tokens.size()}, read));
  if (auto& held = remotes_.at(id).tokens) *held += static_cast<std::uint32_t>(tokens.size());
  return scores;
}

Result<PrefillResult> RemoteEngine::truncate(SequenceId id, std::uint32_t tokens) {
  BH_CHECK(check_idle(id));
  const auto begin = Clock::now();
  const auto read = [&](const Frame& /*answer*/, const JsonView& ok) {
    return engine::number<std::uint32_t>(ok, "tokens", 0, tokens);
  };
  BH_TRY(const auto computed, ask(id, {{"do", "truncate"}, {"tokens", tokens}}, {}, read));
  remotes_.at(id).tokens = tokens;
  return PrefillResult{computed, Clock::now() - begin};
}

Result<SequenceState> RemoteEngine::inspect(SequenceId id) const {
  return ask(id, {{"do", "inspect"}}, {}, [&](const Frame& /*answer*/, const JsonView& ok) {
    return sequence_state_from(ok, facts_.context_tokens);
  });
}

Result<std::uint64_t> RemoteEngine::state_hash(SequenceId id) const {
  return ask(id, {{"do", "state_hash"}}, {}, [](const Frame& /*answer*/, const JsonView& ok) -> Result<std::uint64_t> {
    BH_TRY(const auto hash, ok.at("hash"));
    return engine::bits(hash);
  });
}

Result<Snapshot> RemoteEngine::snapshot(SequenceId id) {
  BH_CHECK(check_idle(id));
  return ask(
      id, {{"do", "snapshot"}}, expected_snapshot(),
      [](Frame& answer, const JsonView& /*ok*/) -> Result<Snapshot> { return Snapshot(std::move(answer.tail)); });
}

void RemoteEngine::close_all() {
  while (!remotes_.empty()) static_cast<void>(RemoteEngine::close(remotes_.begin()->first));
}

Result<void> RemoteEngine::close(SequenceId id) {
  const auto found = remotes_.find(id);
  if (found == remotes_.end()) return not_open(id);
  jobs_.end(id);
  // A worker that nobody else needs ends with this; a job of it still needs it.
  if (found->second.worker.use_count() > 1 && found->second.worker->alive()) {
    static_cast<void>(found->second.worker->call({{"do", "close"}, {"sequence", found->second.sequence}}));
  }
  remotes_.erase(found);
  return {};
}

}  // namespace bulkhead::engines::worker
