// SPDX-License-Identifier: MIT
#include "engines/fake/fake_engine.h"

#include "engine/generation.h"
#include "engine/job_engine.h"
#include "engine/job_stop.h"
#include "engines/fake/fake_draws.h"
#include "engines/fake/fake_sequence.h"
#include "engines/fake/fake_tokenizer.h"
#include "engines/fake/mutant.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <map>
#include <utility>

namespace bulkhead::engines::fake {
namespace {

using engine::Capability;
using engine::Duration;
using engine::ForkResult;
using engine::GenerateRequest;
using engine::GenerateResult;
using engine::Job;
using engine::JobEvent;
using engine::JobId;
using engine::JobResult;
using engine::OpenOptions;
using engine::PrefillResult;
using engine::SequenceId;
using engine::SequenceState;
using engine::Token;
using Clock = std::chrono::steady_clock;
using Finish = GenerateResult::Finish;

constexpr std::uint64_t kBytesPerToken = 64;
constexpr std::uint32_t kChunkTokens = 64;  // of one prefill in one step, at most

// One job while it runs.
struct Running {
  Running(JobId its_id, Job its_job, FakeSequence& its_sequence)
      : id(its_id),
        job(std::move(its_job)),
        sequence(&its_sequence),
        stop(job),
        text(job.generate ? job.generate->stop : std::vector<std::string>()) {}

  JobId id;
  Job job;
  FakeSequence* sequence;
  engine::JobStop stop;
  engine::GeneratedText text;
  JobResult result = {};
  bool active = true;
  std::optional<Error> error = {};
  std::uint32_t held_before = 0;  // tokens of the sequence, before the prefill
  Clock::time_point begin = Clock::now();

  [[nodiscard]] std::span<const Token> prefill_left() const {
    return std::span<const Token>(job.prefill).subspan(result.prefill.tokens);
  }
  void end(Finish finish) {
    active = false;
    result.generated.finish = finish;
  }
  void fail(Error why) {
    active = false;
    error = std::move(why);
  }
};

engine::Facts facts_of(const FakeOptions& options) {
  return {.engine = "fake",
          .build = "1",
          .model_path = "",
          .model_name = "fake",
          .architecture = "hash",
          .model_bytes = 0,
          .vocabulary = kVocabulary,
          .context_tokens = options.context_tokens,
          .trained_context_tokens = options.context_tokens,
          .window_tokens = options.window_tokens,
          .kv_bytes_per_token = kBytesPerToken,
          .kv_type_k = "f16",
          .kv_type_v = "f16",
          .kernels = "fake",
          .batch_invariant = true,
          .threads = 1,
          .flash_attention = false,
          .chat_template = true,
          .clock = options.clock,
          .grade = options.grade,
          .implementation = {{"loading", "nothing is loaded"},
                             {"tokenizer", "one token for each byte"},
                             {"context", "token arrays"},
                             {"generation", "a hash of all visible tokens"},
                             {"sampling", "the hash"},
                             {"cache", "an object for each sequence"},
                             {"attention", "none"},
                             {"device", "cpu"},
                             {"weights", "none"},
                             {"computing", "integers"}}};
}

class FakeEngine final : public engine::JobEngine {
 public:
  explicit FakeEngine(FakeOptions options)
      : options_(std::move(options)), facts_(facts_of(options_)), sabotage_(options_.mutant) {}

  [[nodiscard]] const engine::Facts& facts() const override { return facts_; }
  [[nodiscard]] const engine::Tokenizer& tokenizer() const override { return tokenizer_; }
  [[nodiscard]] bool can(Capability capability) const override {
    return capability != Capability::kConstraint && capability != Capability::kEmbed;
  }

  [[nodiscard]] std::uint64_t kv_bytes_taken() const override;
  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override {
    return std::uint64_t{sequences} * tokens_each * kBytesPerToken;
  }

  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override;
  [[nodiscard]] Result<SequenceId> open(const OpenOptions& options) override;
  [[nodiscard]] Result<JobId> submit(Job job) override;
  void cancel(JobId job) override;
  [[nodiscard]] Result<ForkResult> fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) override;
  [[nodiscard]] Result<PrefillResult> truncate(SequenceId id, std::uint32_t tokens) override;
  [[nodiscard]] Result<PrefillResult> prefill(SequenceId id, std::span<const Token> tokens, std::stop_token cancel,
                                              const engine::PrefillProgress& progress) override;
  [[nodiscard]] std::vector<Result<GenerateResult>> generate(std::span<const GenerateRequest> requests) override;
  [[nodiscard]] Result<std::vector<double>> score(SequenceId id, std::span<const Token> tokens) override;
  [[nodiscard]] Result<SequenceState> inspect(SequenceId id) const override;
  [[nodiscard]] Result<std::uint64_t> state_hash(SequenceId id) const override;
  [[nodiscard]] Result<engine::Snapshot> snapshot(SequenceId id) override;
  [[nodiscard]] Result<SequenceId> restore(const engine::Snapshot& snapshot, const OpenOptions& options) override;
  [[nodiscard]] Result<void> close(SequenceId id) override;

 protected:
  void step(const engine::StepLimits& limits, std::vector<JobEvent>& events) override;
  [[nodiscard]] std::size_t unfinished_jobs() const override { return jobs_.size(); }

 private:
  [[nodiscard]] Result<FakeSequence*> find(SequenceId id);
  [[nodiscard]] Result<FakeSequence*> find_idle(SequenceId id);
  [[nodiscard]] bool is_busy(const FakeSequence& sequence) const;
  [[nodiscard]] static Result<void> fits(const FakeSequence& sequence, std::span<const Token> tokens);
  [[nodiscard]] const Fault* fault(Fault::Kind kind, const FakeSequence& sequence) const;
  [[nodiscard]] Result<void> allocate(std::uint32_t sequences, std::uint32_t tokens_each);
  Result<void> append_with_faults(FakeSequence& sequence, std::uint32_t begin, std::span<const Token> tokens);
  void prefill_some(const engine::StepLimits& limits, std::vector<JobEvent>& events);
  void prefill_chunk(Running& run, std::uint32_t tokens, std::vector<JobEvent>& events);
  void draw_rows(std::vector<JobEvent>& events);
  void draw(Running& run, std::uint64_t seen, std::vector<JobEvent>& events);
  [[nodiscard]] bool tell(Running& run, std::uint32_t index, std::vector<JobEvent>& events);
  void end_if_done(Running& run);
  void take_out_ended(std::vector<JobEvent>& events);

  FakeOptions options_;
  engine::Facts facts_;
  FakeTokenizer tokenizer_;
  std::map<SequenceId, FakeSequence> sequences_;  // open and poisoned ones
  std::list<Running> jobs_;                       // those that prefill take turns in this order
  std::vector<std::uint32_t> free_rooms_;         // their sizes in tokens
  std::uint64_t allocated_bytes_ = 0;
  std::uint32_t made_ = 0;      // sequences so far
  std::uint32_t reported_ = 0;  // tokens of the last prefill, as the engine tells
  Sabotage sabotage_;
};

Result<FakeSequence*> FakeEngine::find(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second.poisoned) {
    return Error{ErrorCode::kClosed, fmt::format("sequence {} is not open", id.value()), {}, {}};
  }
  return &found->second;
}

Result<void> FakeEngine::fits(const FakeSequence& sequence, std::span<const Token> tokens) {
  if (tokens.empty()) return Error{ErrorCode::kBadInput, "there are no tokens to append", {}, {}};
  for (const Token token : tokens) {
    if (token < 0 || token >= static_cast<Token>(kVocabulary)) {
      return Error{
          ErrorCode::kBadInput, fmt::format("token {} is outside the vocabulary of {}", token, kVocabulary), {}, {}};
    }
  }
  if (sequence.size() + tokens.size() > sequence.capacity()) {
    return Error{
        ErrorCode::kResource,
        fmt::format("{} tokens and {} more do not fit into {}", sequence.size(), tokens.size(), sequence.capacity()),
        {},
        "open it with more room"};
  }
  return {};
}

const Fault* FakeEngine::fault(Fault::Kind kind, const FakeSequence& sequence) const {
  const auto found = std::find_if(options_.faults.begin(), options_.faults.end(), [&](const Fault& candidate) {
    return candidate.kind == kind && candidate.sequence == sequence.number;
  });
  return found == options_.faults.end() ? nullptr : &*found;
}

Result<void> FakeEngine::allocate(std::uint32_t sequences, std::uint32_t tokens_each) {
  if (tokens_each == 0) return Error{ErrorCode::kBadInput, "a sequence needs room for at least one token", {}, {}};
  if (tokens_each > options_.context_tokens) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens are {} more than the context of {}", tokens_each,
                             tokens_each - options_.context_tokens, options_.context_tokens),
                 {},
                 {}};
  }
  const std::uint64_t bytes = bytes_for(sequences, tokens_each);
  const std::uint64_t left = options_.memory_bytes - allocated_bytes_;
  if (bytes > left) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} bytes are needed, {} are available: {} too few", bytes, left, bytes - left),
                 {},
                 "use fewer or shorter sequences"};
  }
  allocated_bytes_ += bytes;
  free_rooms_.insert(free_rooms_.end(), sequences, tokens_each);
  return {};
}

std::uint64_t FakeEngine::kv_bytes_taken() const {
  std::uint64_t bytes = 0;
  for (const auto& [id, sequence] : sequences_) bytes += std::uint64_t{sequence.room} * kBytesPerToken;
  return bytes;
}

Result<void> FakeEngine::reserve(std::uint32_t sequences, std::uint32_t tokens_each) {
  const auto there = static_cast<std::uint32_t>(
      std::count_if(free_rooms_.begin(), free_rooms_.end(), [&](std::uint32_t room) { return room >= tokens_each; }));
  if (sequences <= there) return {};
  if (sequences + sequences_.size() > options_.max_sequences) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} sequences are open and {} more are too many, the limit is {}", sequences_.size(),
                             sequences, options_.max_sequences),
                 {},
                 {}};
  }
  return allocate(sequences, tokens_each);
}

Result<SequenceId> FakeEngine::open(const OpenOptions& options) {
  if (sequences_.size() >= options_.max_sequences) {
    return Error{
        ErrorCode::kResource, fmt::format("all {} sequences are open", options_.max_sequences), {}, "close one"};
  }
  const auto smallest = [&] {
    auto best = free_rooms_.end();
    for (auto room = free_rooms_.begin(); room != free_rooms_.end(); ++room) {
      if (*room >= options.capacity_tokens && (best == free_rooms_.end() || *room < *best)) best = room;
    }
    return best;
  };
  if (options.capacity_tokens == 0 || smallest() == free_rooms_.end()) BH_CHECK(allocate(1, options.capacity_tokens));
  const auto room = smallest();
  FakeSequence sequence(options.capacity_tokens, options_.window_tokens);
  sequence.room = *room;
  sequence.number = made_++;
  free_rooms_.erase(room);
  const auto id = engine::new_sequence_id();
  sabotage_.after_open(sequences_.emplace(id, std::move(sequence)).first->second);
  return id;
}

// `begin`: the position that the first of them should get.
Result<void> FakeEngine::append_with_faults(FakeSequence& sequence, std::uint32_t begin,
                                            std::span<const Token> tokens) {
  const auto hits = [&](Fault::Kind kind) -> const Fault* {
    const Fault* found = fault(kind, sequence);
    return found != nullptr && found->at >= begin && found->at - begin < tokens.size() ? found : nullptr;
  };
  if (hits(Fault::Kind::kFailPrefill) != nullptr) {
    sequence.poisoned = true;
    return Error{ErrorCode::kInternal, "planted fault: prefill failed", {}, {}};
  }
  std::vector<Token> stored(tokens.begin(), tokens.end());
  const auto at = [&](const Fault* found) { return stored.begin() + static_cast<std::ptrdiff_t>(found->at - begin); };
  if (const auto* found = hits(Fault::Kind::kSwapToken)) *at(found) = found->token;
  if (const auto* found = hits(Fault::Kind::kHiddenToken)) sequence.hide(found->token);
  if (const auto* found = hits(Fault::Kind::kForeignToken)) stored.insert(at(found), found->token);
  if (const auto* found = hits(Fault::Kind::kDropToken)) stored.erase(at(found));
  sequence.append(stored);
  return {};
}

bool FakeEngine::is_busy(const FakeSequence& sequence) const {
  return std::any_of(jobs_.begin(), jobs_.end(), [&](const Running& run) { return run.sequence == &sequence; });
}

Result<FakeSequence*> FakeEngine::find_idle(SequenceId id) {
  BH_TRY(auto* sequence, find(id));
  if (is_busy(*sequence)) return engine::busy(id);
  return sequence;
}

Result<JobId> FakeEngine::submit(Job job) {
  BH_TRY(auto* sequence, find_idle(job.sequence));
  BH_CHECK(engine::check_job(job, *this));
  if (job.generate) BH_CHECK(check_bias(job.generate->logit_bias));
  if (!job.prefill.empty()) BH_CHECK(fits(*sequence, job.prefill));
  if (job.prefill.empty() && sequence->size() == 0) {
    return Error{ErrorCode::kBadInput, "the sequence is empty", {}, "prefill it first"};
  }
  return jobs_.emplace_back(engine::new_job_id(), std::move(job), *sequence).id;
}

void FakeEngine::cancel(JobId job) {
  for (auto& run : jobs_) {
    if (run.id == job) run.stop.request();
  }
}

Result<ForkResult> FakeEngine::fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) {
  const auto begin = Clock::now();
  BH_TRY(auto* from, find_idle(source));
  if (tokens > from->size()) {
    return Error{ErrorCode::kBadInput, fmt::format("a fork at token {} of {}", tokens, from->size()), {}, {}};
  }
  if (tokens > options.capacity_tokens) {
    return Error{
        ErrorCode::kResource, fmt::format("{} tokens do not fit into {}", tokens, options.capacity_tokens), {}, {}};
  }
  BH_TRY(const auto id, open(options));
  FakeSequence& made = sequences_.at(id);
  FakeSequence copy = sabotage_.fork_source(*from, sequences_);
  copy.truncate(tokens);
  const bool whole = tokens == from->size();
  const bool served = whole || from->covers(tokens) || fault(Fault::Kind::kIgnoreWindow, made) != nullptr;
  if (served) {
    made.take(copy);
  } else {
    made.append(std::span(from->tokens()).first(tokens));
  }
  sabotage_.after_fork(*from, made, tokens);
  return ForkResult{id, served ? tokens : 0, served ? 0 : tokens, Clock::now() - begin};
}

Result<PrefillResult> FakeEngine::truncate(SequenceId id, std::uint32_t tokens) {
  const auto begin = Clock::now();
  BH_TRY(auto* sequence, find_idle(id));
  if (tokens > sequence->size()) {
    return Error{ErrorCode::kBadInput, fmt::format("{} tokens of {} cannot be kept", tokens, sequence->size()), {}, {}};
  }
  if (fault(Fault::Kind::kFailTruncate, *sequence) != nullptr) {
    sequence->poisoned = true;
    return Error{ErrorCode::kInternal, "planted fault: truncate failed", {}, {}};
  }
  const bool served = sequence->covers(tokens) || tokens == sequence->size();
  const std::vector<Token> history(sequence->tokens().begin(), sequence->tokens().begin() + tokens);
  sequence->truncate(served ? tokens : 0);
  if (!served) sequence->append(history);
  return PrefillResult{served ? 0 : tokens, Clock::now() - begin};
}

void FakeEngine::end_if_done(Running& run) {
  if (!run.active) return;
  const bool prefilled = run.prefill_left().empty();
  const bool enough = !run.job.generate || run.result.generated.tokens.size() == run.job.generate->max_tokens;
  if (prefilled && (enough || run.sequence->size() >= run.sequence->capacity())) {
    run.end(Finish::kLength);
  } else if (run.stop.requested()) {
    if (!prefilled) sabotage_.after_cancelled_prefill(run.job.prefill);
    run.end(Finish::kCancelled);
  }
}

void FakeEngine::take_out_ended(std::vector<JobEvent>& events) {
  for (auto run = jobs_.begin(); run != jobs_.end();) {
    if (run->active) {
      ++run;
      continue;
    }
    run->result.generated.text = run->text.text();
    events.push_back(
        {run->id, run->error ? Result<JobResult>(*run->error) : Result<JobResult>(std::move(run->result))});
    run = jobs_.erase(run);
  }
}

void FakeEngine::prefill_chunk(Running& run, std::uint32_t tokens, std::vector<JobEvent>& events) {
  auto& done = run.result.prefill;
  FakeSequence& target = sabotage_.prefill_target(*run.sequence, sequences_);
  if (done.tokens == 0) run.held_before = target.size();
  const std::span<const Token> all(run.job.prefill);
  const auto chunk = all.subspan(done.tokens, tokens);
  if (const auto appended = append_with_faults(target, run.held_before + done.tokens, chunk); !appended.ok()) {
    return run.fail(appended.error());
  }
  done.tokens += tokens;
  done.time = Clock::now() - run.begin;
  events.push_back({run.id, engine::Prefilled{done.tokens}});
  if (run.prefill_left().empty()) reported_ = sabotage_.after_prefill(target, all, sequences_);
}

void FakeEngine::prefill_some(const engine::StepLimits& limits, std::vector<JobEvent>& events) {
  const auto draws = [](const Running& run) { return run.active && run.prefill_left().empty(); };
  const bool beside = std::any_of(jobs_.begin(), jobs_.end(), draws);
  auto left = std::max(beside ? limits.prefill_tokens_beside : limits.prefill_tokens, 1U);
  std::list<Running> served;  // they go to the end of the line
  for (auto run = jobs_.begin(); run != jobs_.end() && left > 0;) {
    const auto here = run++;
    if (!here->active || here->prefill_left().empty()) continue;
    const auto tokens =
        static_cast<std::uint32_t>(std::min<std::size_t>({here->prefill_left().size(), left, kChunkTokens}));
    left -= tokens;
    prefill_chunk(*here, tokens, events);
    served.splice(served.end(), jobs_, here);
  }
  jobs_.splice(jobs_.end(), served);
}

// All rows of a step see what was there before it, as in one batch.
void FakeEngine::draw_rows(std::vector<JobEvent>& events) {
  std::vector<Running*> runs;
  std::vector<FakeSequence*> rows;
  for (auto& run : jobs_) {
    if (!run.active || !run.prefill_left().empty()) continue;
    runs.push_back(&run);
    rows.push_back(run.sequence);
  }
  std::vector<std::uint64_t> seen;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    seen.push_back(sabotage_.seen(rows[i]->visible_hash(), rows, i, sequences_));
  }
  for (std::size_t i = 0; i < runs.size(); ++i) draw(*runs[i], seen[i], events);
}

// Of the last token, which has this index. False: its callback wants no more.
bool FakeEngine::tell(Running& run, std::uint32_t index, std::vector<JobEvent>& events) {
  const auto& options = *run.job.generate;
  const auto& result = run.result.generated;
  engine::Drawn drawn{result.tokens.back(), index, tokenizer_.piece(result.tokens.back())};
  if (options.logprobs) drawn.logprobs = result.logprobs.back();
  const auto* logprobs = drawn.logprobs ? &*drawn.logprobs : nullptr;
  const bool wanted = !options.on_token || options.on_token({drawn.token, index, drawn.piece, logprobs});
  events.push_back({run.id, std::move(drawn)});
  return wanted;
}

void FakeEngine::draw(Running& run, std::uint64_t seen, std::vector<JobEvent>& events) {
  FakeSequence& sequence = *run.sequence;
  if (const auto* found = fault(Fault::Kind::kFailDecode, sequence); found != nullptr && found->at == sequence.draws) {
    sequence.poisoned = true;
    return run.fail({ErrorCode::kInternal, "planted fault: decode failed", {}, {}});
  }
  const auto& options = *run.job.generate;
  auto& result = run.result.generated;
  const auto index = static_cast<std::uint32_t>(result.tokens.size());
  const bool greedy = options.sampling.temperature <= 0.0F;
  const std::uint64_t drawn = greedy ? seen : mix(seen, mix(options.sampling.seed, sabotage_.generator_step(index)));
  const bool may_end = !options.ignore_end && !is_forbidden(kEnd, options.logit_bias);
  const bool ends = may_end && options_.end_one_in > 0 && mix(drawn, 1) % options_.end_one_in == 0;
  const auto allowed = ends ? std::optional(kEnd) : allowed_token(drawn, options.logit_bias);
  if (!allowed) return run.fail(engine::no_token_left(options));
  const Token token = *allowed;
  sequence.draw(token);
  ++sequence.draws;
  sabotage_.after_draw(sequence, token, sequences_);
  result.tokens.push_back(token);
  if (options.hash_logits) result.logit_hashes.push_back(seen);
  result.token_times.push_back(Clock::now() - run.begin);
  if (options.logprobs) result.logprobs.push_back(logprobs_of(seen, token, *options.logprobs));
  const bool stopped = run.text.append(tokenizer_.piece(token));
  const bool wanted = tell(run, index, events);
  if (ends) return run.end(Finish::kEnd);
  if (stopped) return run.end(Finish::kStop);
  if (!wanted) run.end(Finish::kCancelled);
}

void FakeEngine::step(const engine::StepLimits& limits, std::vector<JobEvent>& events) {
  for (auto& run : jobs_) end_if_done(run);
  draw_rows(events);
  prefill_some(limits, events);
  for (auto& run : jobs_) end_if_done(run);
  take_out_ended(events);
}

// Only mutants make other results of these two than the jobs'.
Result<PrefillResult> FakeEngine::prefill(SequenceId id, std::span<const Token> tokens, std::stop_token cancel,
                                          const engine::PrefillProgress& progress) {
  auto result = JobEngine::prefill(id, tokens, std::move(cancel), progress);
  if (result.ok()) result.value().tokens = reported_;
  return result;
}

std::vector<Result<GenerateResult>> FakeEngine::generate(std::span<const GenerateRequest> requests) {
  auto results = JobEngine::generate(requests);
  const auto failed = std::find_if(results.begin(), results.end(), [](const auto& result) { return !result.ok(); });
  if (sabotage_.one_failure_fails_all() && failed != results.end()) {
    const Error error = failed->error();
    for (auto& result : results) result = error;
  }
  if (sabotage_.results_in_order_of_ids()) {
    std::vector<std::size_t> order(results.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return requests[a].sequence < requests[b].sequence; });
    auto sorted = results;
    for (std::size_t i = 0; i < order.size(); ++i) sorted[i] = results[order[i]];
    return sorted;
  }
  return results;
}

Result<std::vector<double>> FakeEngine::score(SequenceId id, std::span<const Token> tokens) {
  BH_TRY(auto* sequence, find_idle(id));
  BH_CHECK(fits(*sequence, tokens));
  if (sequence->size() == 0) return Error{ErrorCode::kBadInput, "the sequence is empty", {}, "prefill it first"};
  std::vector<double> scores;
  for (const Token token : tokens) {
    scores.push_back(log_probability(sequence->visible_hash(), token));
    sequence->append(std::span(&token, 1));
  }
  return scores;
}

Result<SequenceState> FakeEngine::inspect(SequenceId id) const {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second.poisoned) {
    return Error{ErrorCode::kClosed, fmt::format("sequence {} is not open", id.value()), {}, {}};
  }
  const FakeSequence& sequence = found->second;
  auto state = sequence.state(kBytesPerToken, sequence.room * kBytesPerToken);
  if (const auto* planted = fault(Fault::Kind::kWrongPosition, sequence)) {
    state.first_position += planted->at;
    state.last_position += planted->at;
  }
  return state;
}

Result<std::uint64_t> FakeEngine::state_hash(SequenceId id) const {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second.poisoned) {
    return Error{ErrorCode::kClosed, fmt::format("sequence {} is not open", id.value()), {}, {}};
  }
  return found->second.stored_hash();
}

Result<engine::Snapshot> FakeEngine::snapshot(SequenceId id) {
  BH_TRY(const auto* sequence, find_idle(id));
  return engine::pack_snapshot(engine::snapshot_fit(facts_, {}), sequence->tokens(), sequence->to_bytes());
}

Result<SequenceId> FakeEngine::restore(const engine::Snapshot& snapshot, const OpenOptions& options) {
  BH_TRY(auto content, engine::unpack_snapshot(snapshot, engine::snapshot_fit(facts_, {})));
  if (content.tokens.size() > options.capacity_tokens) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens do not fit into {}", content.tokens.size(), options.capacity_tokens),
                 {},
                 "restore it with more room"};
  }
  BH_TRY(const auto id, open(options));
  FakeSequence& made = sequences_.at(id);
  if (!made.take(std::move(content.tokens), content.payload)) {
    static_cast<void>(close(id));
    return Error{ErrorCode::kCorrupt, "the snapshot holds no cells of this engine", {}, "make it anew"};
  }
  sabotage_.after_restore(made, sequences_);
  return id;
}

Result<void> FakeEngine::close(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) {
    return Error{ErrorCode::kClosed, fmt::format("sequence {} is not open", id.value()), {}, {}};
  }
  for (auto& run : jobs_) {
    if (run.sequence != &found->second) continue;
    run.end(Finish::kCancelled);
    run.sequence = nullptr;
  }
  sabotage_.before_close(found->second, sequences_);
  free_rooms_.push_back(found->second.room);
  sequences_.erase(found);
  return {};
}

}  // namespace

std::unique_ptr<engine::Engine> make_fake_engine(FakeOptions options) {
  return std::make_unique<FakeEngine>(std::move(options));
}

}  // namespace bulkhead::engines::fake
