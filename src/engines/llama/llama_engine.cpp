// SPDX-License-Identifier: MIT
#include "engines/llama/llama_engine.h"

#include "base/file_identity.h"
#include "base/hash.h"
#include "engine/clock.h"
#include "engine/job_engine.h"
#include "engines/llama/context_pool.h"
#include "engines/llama/continuation.h"
#include "engines/llama/job_run.h"
#include "engines/llama/lazy_constraint.h"
#include "engines/llama/loaded_model.h"
#include "engines/llama/mutant.h"
#include "engines/llama/paged_cells.h"
#include "engines/llama/sequence.h"
#include "engines/llama/sequence_image.h"
#include "engines/llama/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <stop_token>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

using engine::Capability;
using engine::ForkResult;
using engine::Job;
using engine::JobId;
using engine::OpenOptions;
using engine::PrefillResult;
using engine::SequenceId;
using engine::SequenceState;
using engine::Token;
using Clock = std::chrono::steady_clock;

std::vector<Token> tokens_where(std::uint32_t vocabulary, const auto& predicate) {
  std::vector<Token> found;
  for (Token token = 0; token < static_cast<Token>(vocabulary); ++token) {
    if (predicate(token)) found.push_back(token);
  }
  return found;
}

class LlamaEngine final : public engine::JobEngine {
 public:
  // `store` computes with `model`, and looks at `cancellation`.
  LlamaEngine(std::shared_ptr<const LoadedModel> model, std::unique_ptr<Cancellation> cancellation,
              std::unique_ptr<CellStore> store, std::string clock)
      : model_(std::move(model)),
        tokenizer_(model_->model(), engine::seconds_of(clock)),
        facts_(model_->facts()),
        end_tokens_(tokens_where(facts_.vocabulary, [&](Token token) { return tokenizer_.ends_generation(token); })),
        cancellation_(std::move(cancellation)),
        store_(std::move(store)),
        run_(tokenizer_, *cancellation_, facts_.batch_invariant) {
    for (const auto& file : files_of_model(facts_.model_path)) model_files_.emplace_back(file, std::ios::binary);
    facts_.chat_template = tokenizer_.has_chat_template();
    facts_.clock = std::move(clock);
  }

  [[nodiscard]] const engine::Facts& facts() const override { return facts_; }
  [[nodiscard]] const engine::Tokenizer& tokenizer() const override { return tokenizer_; }
  [[nodiscard]] bool can(Capability capability) const override {
    switch (capability) {
      case Capability::kFork:
      case Capability::kForkEarlier:
      case Capability::kScore:
      case Capability::kLogitHash:
      case Capability::kSnapshot:
      case Capability::kConstraint:
      case Capability::kLogitBias:
      case Capability::kLogprobs: return true;
      case Capability::kChatTemplate: return facts_.chat_template;
      case Capability::kEmbed: return false;
    }
    return false;
  }

  [[nodiscard]] std::uint64_t kv_bytes_taken() const override { return store_->bytes_taken(); }
  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override {
    return store_->bytes_for(sequences, tokens_each);
  }
  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override {
    return store_->reserve(sequences, tokens_each);
  }

  [[nodiscard]] Result<SequenceId> open(const OpenOptions& options) override;
  [[nodiscard]] Result<JobId> submit(Job job) override;
  void cancel(JobId job) override { run_.cancel(job); }
  [[nodiscard]] Result<ForkResult> fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) override;
  [[nodiscard]] Result<PrefillResult> truncate(SequenceId id, std::uint32_t tokens) override;
  [[nodiscard]] Result<std::vector<double>> score(SequenceId id, std::span<const Token> tokens) override;
  [[nodiscard]] Result<std::vector<std::vector<double>>> score_continuations(
      SequenceId id, std::span<const std::vector<Token>> continuations) override;
  [[nodiscard]] Result<SequenceState> inspect(SequenceId id) const override;
  [[nodiscard]] Result<std::uint64_t> state_hash(SequenceId id) const override;
  [[nodiscard]] Result<engine::Snapshot> snapshot(SequenceId id) override;
  [[nodiscard]] Result<SequenceId> restore(const engine::Snapshot& snapshot, const OpenOptions& options) override;
  [[nodiscard]] Result<void> close(SequenceId id) override;

 protected:
  void step(const engine::StepLimits& limits, std::vector<engine::JobEvent>& events) override;
  [[nodiscard]] std::size_t unfinished_jobs() const override { return run_.size(); }

 private:
  [[nodiscard]] Result<Sequence*> find(SequenceId id);
  [[nodiscard]] Result<Sequence*> find_idle(SequenceId id);
  [[nodiscard]] Result<void> check_tokens(std::span<const Token> tokens) const;
  [[nodiscard]] Result<void> check_append(const Sequence& sequence, std::span<const Token> tokens) const;
  [[nodiscard]] Result<void> check_room(std::span<const CellStore::Growth> growths) const;
  [[nodiscard]] Result<SequenceId> open_beside(const OpenOptions& options, const Cells* beside);
  [[nodiscard]] static bool take_over(const Sequence& source, std::uint32_t tokens, Sequence& made);
  [[nodiscard]] Result<engine::SnapshotFit> fit();
  [[nodiscard]] bool is_image_of(std::span<const Token> tokens, const SequenceImage& image) const;
  [[nodiscard]] static Result<void> fill(Sequence& made, std::vector<Token> tokens, const SequenceImage& image);
  [[nodiscard]] Result<JobId> start(Job job);
  [[nodiscard]] Result<LazyConstraint> constraint_of(const GenerateOptions& options);
  [[nodiscard]] static Result<void> ensure_logits(Sequence& sequence);
  [[nodiscard]] Result<std::vector<Continuation>> fork_each(SequenceId source,
                                                            std::span<const std::vector<Token>> continuations,
                                                            std::vector<SequenceId>& forks);

  std::shared_ptr<const LoadedModel> model_;
  LlamaTokenizer tokenizer_;
  engine::Facts facts_;
  std::vector<Token> end_tokens_;
  std::unique_ptr<Cancellation> cancellation_;
  std::unique_ptr<CellStore> store_;            // outlives the sequences
  std::map<SequenceId, Sequence> sequences_;    // open and poisoned ones
  std::shared_ptr<const Spellings> spellings_;  // once a grammar was asked for
  JobRun run_;
  bool refused_ = false;                     // for a mutant
  std::vector<Token> last_closed_;           // for a mutant
  std::vector<std::ifstream> model_files_;   // open all the time: what lies under a name may be another one by now
  std::optional<std::string> model_digest_;  // once a snapshot was asked for
};

Error not_open(SequenceId id) {
  return {ErrorCode::kClosed, fmt::format("sequence {} is not open", id.value()), {}, {}};
}

Result<Sequence*> LlamaEngine::find(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second.poisoned) return not_open(id);
  return &found->second;
}

Result<Sequence*> LlamaEngine::find_idle(SequenceId id) {
  BH_TRY(auto* sequence, find(id));
  if (run_.is_busy(*sequence)) return engine::busy(id);
  return sequence;
}

Result<void> LlamaEngine::check_tokens(std::span<const Token> tokens) const {
  if (tokens.empty()) return Error{ErrorCode::kBadInput, "there are no tokens to append", {}, {}};
  for (const Token token : tokens) {
    if (token < 0 || token >= static_cast<Token>(facts_.vocabulary)) {
      return Error{ErrorCode::kBadInput,
                   fmt::format("token {} is outside the vocabulary of {}", token, facts_.vocabulary),
                   {},
                   {}};
    }
  }
  return {};
}

Result<void> LlamaEngine::check_append(const Sequence& sequence, std::span<const Token> tokens) const {
  BH_CHECK(check_tokens(tokens));
  if (sequence.size() + tokens.size() > sequence.capacity) {
    return Error{
        ErrorCode::kResource,
        fmt::format("{} tokens and {} more do not fit into {}", sequence.size(), tokens.size(), sequence.capacity),
        {},
        "open it with more room"};
  }
  return {};
}

Result<void> LlamaEngine::check_room(std::span<const CellStore::Growth> growths) const {
  if (store_->can_grow(growths)) return {};
  return Error{ErrorCode::kResource,
               "there is no memory left for so many tokens",
               {},
               "close partitions, or use fewer or shorter ones"};
}

Result<SequenceId> LlamaEngine::open_beside(const OpenOptions& options, const Cells* beside) {
  BH_TRY(auto cells, store_->open(options.capacity_tokens, options.only_forked, beside));
  const auto id = engine::new_sequence_id();
  Sequence sequence;
  sequence.cells = std::move(cells);
  sequence.capacity = options.capacity_tokens;
  sequences_.emplace(id, std::move(sequence));
  return id;
}

Result<SequenceId> LlamaEngine::open(const OpenOptions& options) {
  auto made = open_beside(options, nullptr);
  if (mutant(Mutant::kWarmSlot) && made.ok() && !last_closed_.empty() &&
      last_closed_.size() < options.capacity_tokens) {
    BH_CHECK(append(sequences_.at(made.value()), last_closed_));
  }
  return made;
}

// All that the running jobs and this one may come to hold must have room.
Result<JobId> LlamaEngine::start(Job job) {
  BH_TRY(auto* sequence, find_idle(job.sequence));
  BH_CHECK(engine::check_job(job, *this));
  if (!job.prefill.empty()) BH_CHECK(check_append(*sequence, job.prefill));
  if (job.prefill.empty() && sequence->size() == 0) {
    return Error{ErrorCode::kBadInput, "the sequence is empty", {}, "prefill it first"};
  }
  auto growths = run_.growths();
  const std::uint64_t drawn = job.generate ? job.generate->max_tokens : 0;
  const auto most = std::min<std::uint64_t>(sequence->size() + job.prefill.size() + drawn, sequence->capacity);
  growths.push_back({sequence->cells.get(), static_cast<std::uint32_t>(most)});
  BH_CHECK(check_room(growths));
  std::optional<LazyConstraint> constraint;
  if (job.generate && !job.generate->grammar.empty()) {
    BH_TRY(constraint, constraint_of(*job.generate));
  }
  const bool forbids = job.generate && job.generate->ignore_end;
  return run_.add(std::move(job), *sequence, forbids ? std::span<const Token>(end_tokens_) : std::span<const Token>(),
                  std::move(constraint));
}

// Spellings are collected once, for the first grammar.
Result<LazyConstraint> LlamaEngine::constraint_of(const GenerateOptions& options) {
  BH_TRY(auto grammar, Grammar::parse(options.grammar));
  if (!spellings_) spellings_ = std::make_shared<const Spellings>(tokenizer_, facts_.vocabulary);
  BH_TRY(auto constraint, Constraint::make(std::make_shared<const Grammar>(std::move(grammar)), spellings_));
  BH_TRY(const bool fits, options.grammar_prefix.empty() ? true : constraint.accept_text(options.grammar_prefix));
  if (!fits) return Error{ErrorCode::kBadInput, "the grammar does not allow its prefix", "grammar_prefix", {}};
  return LazyConstraint(std::move(constraint), options.grammar_triggers, spellings_);
}

Result<JobId> LlamaEngine::submit(Job job) {
  if (mutant(Mutant::kMessageToAll) && !job.prefill.empty() && find_idle(job.sequence).ok()) {
    for (auto& [id, other] : sequences_) {
      if (id != job.sequence && !run_.is_busy(other) && check_append(other, job.prefill).ok())
        BH_CHECK(append(other, job.prefill));
    }
  }
  auto made = start(std::move(job));
  refused_ = refused_ || !made.ok();
  return made;
}

void LlamaEngine::step(const engine::StepLimits& limits, std::vector<engine::JobEvent>& events) {
  if (std::exchange(refused_, false) && mutant(Mutant::kSharedOverflow)) run_.cancel_all();
  run_.step(limits, events);
  if (run_.size() == 0) store_->clear_what_is_left();
}

// Takes over the cache of `source` up to `tokens`. False when it cannot serve that position; `made` is then empty.
bool LlamaEngine::take_over(const Sequence& source, std::uint32_t tokens, Sequence& made) {
  // Earlier than the end, the logits are not known: the last token is computed once more, as one that was just drawn.
  const bool whole = tokens == source.size();
  const std::uint32_t cells = whole ? source.cached() : tokens - 1;
  if (cells > 0) {
    if (!source.cells->covers(cells) || !made.cells->copy(*source.cells, cells)) return false;
    if (!made.cells->covers(cells)) {
      static_cast<void>(made.cells->trim(0));
      return false;
    }
  }
  made.tokens.assign(source.tokens.begin(), source.tokens.begin() + static_cast<std::ptrdiff_t>(tokens));
  made.pending = !whole || source.pending;
  if (whole) made.logits = source.logits;
  return true;
}

Result<ForkResult> LlamaEngine::fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) {
  const auto begin = Clock::now();
  BH_TRY(const auto* from, find_idle(source));
  if (mutant(Mutant::kWrongForkSource)) from = &std::prev(sequences_.end())->second;
  if (tokens > from->size()) {
    return Error{ErrorCode::kBadInput, fmt::format("a fork at token {} of {}", tokens, from->size()), {}, {}};
  }
  if (tokens > options.capacity_tokens) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens do not fit into {}", tokens, options.capacity_tokens),
                 {},
                 "fork it with more room"};
  }
  BH_TRY(const auto id, open_beside(options, from->cells.get()));
  Sequence& made = sequences_.at(id);
  const bool reused = tokens == 0 || take_over(*from, tokens, made);
  if (!reused) {
    const std::vector<Token> history(from->tokens.begin(), from->tokens.begin() + static_cast<std::ptrdiff_t>(tokens));
    if (const auto appended = append(made, history); !appended.ok()) {
      static_cast<void>(close(id));
      return appended.error();
    }
  }
  return ForkResult{id, reused ? tokens : 0, reused ? 0 : tokens, Clock::now() - begin};
}

Result<PrefillResult> LlamaEngine::truncate(SequenceId id, std::uint32_t tokens) {
  const auto begin = Clock::now();
  BH_TRY(auto* sequence, find_idle(id));
  if (tokens > sequence->size()) {
    return Error{ErrorCode::kBadInput, fmt::format("{} tokens of {} cannot be kept", tokens, sequence->size()), {}, {}};
  }
  if (tokens == sequence->size()) return PrefillResult{};
  // The logits behind the last token that stays are not known: it is computed once more, as one that was just drawn.
  const std::uint32_t cells = tokens == 0 ? 0 : tokens - 1;
  const bool served = sequence->cells->trim(cells) && (cells == 0 || sequence->cells->covers(cells));
  const std::vector<Token> history(sequence->tokens.begin(), sequence->tokens.begin() + tokens);
  sequence->logits.reset();
  sequence->pending = served && tokens > 0;
  sequence->tokens = served ? history : std::vector<Token>();
  if (served) return PrefillResult{0, Clock::now() - begin};
  sequence->poisoned = !sequence->cells->trim(0);
  BH_CHECK(append(*sequence, history));
  return PrefillResult{tokens, Clock::now() - begin};
}

Result<void> LlamaEngine::ensure_logits(Sequence& sequence) {
  prepare_to_draw(sequence);
  if (sequence.logits) return {};
  auto rows = decode_chunk(sequence, sequence.cached(), std::span(sequence.tokens).last(1), Want::kLast);
  if (!rows.ok()) {
    sequence.poisoned = true;
    return rows.error();
  }
  sequence.pending = false;
  sequence.logits = std::make_shared<const Logits>(std::move(rows).value());
  return {};
}

Result<std::vector<double>> LlamaEngine::score(SequenceId id, std::span<const Token> tokens) {
  BH_TRY(auto* sequence, find_idle(id));
  BH_CHECK(check_append(*sequence, tokens));
  if (sequence->size() == 0) return Error{ErrorCode::kBadInput, "the sequence is empty", {}, "prefill it first"};
  BH_CHECK(ensure_logits(*sequence));
  std::vector<double> scores;
  scores.reserve(tokens.size());
  while (!tokens.empty()) {
    const auto chunk = tokens.first(std::min<std::size_t>(tokens.size(), kScoreTokens));
    auto rows = decode_chunk(*sequence, sequence->cached(), chunk, Want::kAll);
    if (!rows.ok()) {
      sequence->poisoned = true;
      return rows.error();
    }
    scores.push_back(log_probability(*sequence->logits, chunk[0]));
    const std::span<const float> all(rows.value());
    for (std::size_t i = 1; i < chunk.size(); ++i) {
      scores.push_back(log_probability(all.subspan((i - 1) * facts_.vocabulary, facts_.vocabulary), chunk[i]));
    }
    const auto last = all.last(facts_.vocabulary);
    sequence->logits = std::make_shared<const Logits>(last.begin(), last.end());
    sequence->tokens.insert(sequence->tokens.end(), chunk.begin(), chunk.end());
    tokens = tokens.subspan(chunk.size());
  }
  return scores;
}

Result<std::vector<std::vector<double>>> LlamaEngine::score_continuations(
    SequenceId id, std::span<const std::vector<Token>> continuations) {
  const bool alone = !facts_.batch_invariant || continuations.size() < 2;  // a batch would move bits, or gain nothing
  if (alone || std::ranges::max(continuations, {}, &std::vector<Token>::size).size() > kScoreTokens) {
    return Engine::score_continuations(id, continuations);
  }
  BH_TRY(auto* source, find_idle(id));
  for (const auto& continuation : continuations) BH_CHECK(check_tokens(continuation));
  if (source->size() == 0) return Error{ErrorCode::kBadInput, "the sequence is empty", {}, "prefill it first"};
  BH_CHECK(ensure_logits(*source));
  std::vector<std::vector<double>> scores;
  for (std::size_t first = 0; first < continuations.size(); first += kContinuations) {
    const auto some = continuations.subspan(first, std::min<std::size_t>(kContinuations, continuations.size() - first));
    std::vector<SequenceId> forks;
    auto batch = fork_each(id, some, forks);
    if (batch.ok()) score_batch(*source->logits, batch.value());
    for (const auto fork : forks) static_cast<void>(close(fork));
    if (!batch.ok()) return batch.error();
    for (auto& one : batch.value()) {
      if (one.error) return *one.error;
      scores.push_back(std::move(one.scores));
    }
  }
  return scores;
}

// A fork for each continuation that needs one: the first token's probability is known already.
Result<std::vector<Continuation>> LlamaEngine::fork_each(SequenceId source,
                                                         std::span<const std::vector<Token>> continuations,
                                                         std::vector<SequenceId>& forks) {
  const auto size = sequences_.at(source).size();
  const auto longest = std::ranges::max(continuations, {}, &std::vector<Token>::size).size();
  std::vector<Continuation> batch;
  for (const auto& tokens : continuations) {
    Sequence* made = nullptr;
    if (tokens.size() > 1) {
      BH_TRY(const auto forked, fork(source, size, {.capacity_tokens = size + static_cast<std::uint32_t>(longest)}));
      forks.push_back(forked.sequence);
      made = &sequences_.at(forked.sequence);
    }
    batch.push_back({tokens, made, {}, {}});
  }
  return batch;
}

auto cached_end(const Sequence& sequence) {
  return sequence.tokens.begin() + static_cast<std::ptrdiff_t>(sequence.cached());
}

Result<SequenceState> LlamaEngine::inspect(SequenceId id) const {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second.poisoned) return not_open(id);
  const Sequence& sequence = found->second;
  SequenceState state;
  state.tokens = sequence.size();
  state.pending_tokens = sequence.pending ? 1 : 0;
  state.first_position = sequence.cells->first_position();
  state.last_position = sequence.cells->last_position();
  auto tokens = sequence.cells->witness().value_or(std::vector(sequence.tokens.begin(), cached_end(sequence)));
  tokens.insert(tokens.end(), cached_end(sequence), sequence.tokens.end());
  state.token_sha256 = sha256_of_tokens(tokens);
  state.kv_bytes_used = sequence.cells->bytes_used();
  state.kv_bytes_allocated = sequence.cells->bytes_allocated();
  return state;
}

Result<std::uint64_t> LlamaEngine::state_hash(SequenceId id) const {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second.poisoned) return not_open(id);
  return found->second.cells->hash();
}

// The model's own bytes are read once, at the first snapshot.
Result<engine::SnapshotFit> LlamaEngine::fit() {
  if (!model_digest_) {
    std::string digests;
    for (auto& file : model_files_) {
      BH_TRY(const auto digest, xxh3_64_of_file(file));
      digests += fmt::format("{:016x}", digest);
    }
    model_digest_ = model_files_.size() == 1 ? std::move(digests)
                                             : fmt::format("{:016x}", xxh3_64(std::as_bytes(std::span(digests))));
  }
  return engine::snapshot_fit(facts_, *model_digest_);
}

Result<engine::Snapshot> LlamaEngine::snapshot(SequenceId id) {
  BH_TRY(const auto* sequence, find_idle(id));
  BH_TRY(const auto its_fit, fit());
  SequenceImage image{.pending = sequence->pending, .logits = sequence->logits, .cells = {}};
  if (sequence->cached() > 0) image.cells = sequence->cells->store();
  const auto payload = to_bytes(image);
  auto pieces = image.cells ? sequence->cells->stored_pieces() : std::vector<std::uint64_t>();
  const auto in_pieces = std::accumulate(pieces.begin(), pieces.end(), std::uint64_t{0});
  if (!pieces.empty()) pieces.insert(pieces.begin(), payload.size() - in_pieces);  // flags, logits, form
  return engine::pack_snapshot(its_fit, sequence->tokens, payload, pieces);
}

Result<void> LlamaEngine::fill(Sequence& made, std::vector<Token> tokens, const SequenceImage& image) {
  const auto cached = static_cast<std::uint32_t>(tokens.size()) - (image.pending ? 1U : 0U);
  if (cached > 0 && !(image.cells && made.cells->restore(*image.cells, std::span<const Token>(tokens).first(cached)))) {
    BH_CHECK(append(made, std::span<const Token>(tokens).first(cached)));
  }
  made.tokens = std::move(tokens);
  made.pending = image.pending;
  made.logits = image.logits;
  return {};
}

// Whether a sequence could be in this state: who wrote the snapshot is not known.
bool LlamaEngine::is_image_of(std::span<const Token> tokens, const SequenceImage& image) const {
  const bool known = std::ranges::all_of(
      tokens, [&](Token token) { return token >= 0 && token < static_cast<Token>(facts_.vocabulary); });
  if (!known || (image.pending && (tokens.empty() || image.logits))) return false;
  const auto cached = static_cast<std::uint32_t>(tokens.size()) - (image.pending ? 1U : 0U);
  return !image.cells || store_->are_cells_of(*image.cells, cached);
}

Result<SequenceId> LlamaEngine::restore(const engine::Snapshot& snapshot, const OpenOptions& options) {
  BH_TRY(const auto our_fit, fit());
  BH_TRY(auto content, engine::unpack_snapshot(snapshot, our_fit));
  const auto image = image_from(content.payload, facts_.vocabulary);
  if (!image || !is_image_of(content.tokens, *image)) {
    return Error{ErrorCode::kCorrupt, "the snapshot holds no sequence of this engine", {}, "make it anew"};
  }
  if (content.tokens.size() > options.capacity_tokens) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens do not fit into {}", content.tokens.size(), options.capacity_tokens),
                 {},
                 "restore it with more room"};
  }
  BH_TRY(const auto id, open(options));
  if (mutant(Mutant::kRestoreToAll) && sequences_.size() > 1 && image->cells) {
    const auto cached = content.tokens.size() - (image->pending ? 1U : 0U);
    auto& oldest = *sequences_.begin()->second.cells;
    static_cast<void>(oldest.restore(*image->cells, std::span<const Token>(content.tokens).first(cached)));
  }
  if (const auto filled = fill(sequences_.at(id), std::move(content.tokens), *image); !filled.ok()) {
    static_cast<void>(close(id));
    return filled.error();
  }
  return id;
}

Result<void> LlamaEngine::close(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return not_open(id);
  if (mutant(Mutant::kWarmSlot)) last_closed_ = found->second.tokens;
  run_.forget(found->second);
  sequences_.erase(found);
  if (run_.size() == 0) store_->clear_what_is_left();
  return {};
}

}  // namespace

Result<std::unique_ptr<engine::Engine>> make_llama_engine(const ModelOptions& options) {
  BH_TRY(auto clock, engine::clock_from(options.clock));
  auto timeless = options;  // weights are shared whatever the time
  timeless.clock.clear();
  BH_TRY(auto model, LoadedModel::load(timeless));
  auto cancellation = std::make_unique<Cancellation>();
  std::unique_ptr<CellStore> store;
  if (model->paged()) {
    BH_TRY(store, make_paged_store(*model, *cancellation));
  } else {
    store = std::make_unique<ContextPool>(*model, *cancellation);
  }
  return std::unique_ptr<engine::Engine>(
      std::make_unique<LlamaEngine>(std::move(model), std::move(cancellation), std::move(store), std::move(clock)));
}

}  // namespace bulkhead::engines::llama
