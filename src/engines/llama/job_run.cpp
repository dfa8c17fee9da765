// SPDX-License-Identifier: MIT
#include "engines/llama/job_run.h"

#include "base/hash.h"
#include "engines/llama/logprobs.h"
#include "engines/llama/mutant.h"
#include "engines/llama/token_weights.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace bulkhead::engines::llama {

using engine::JobId;
using engine::JobResult;
using engine::Token;
using Finish = engine::GenerateResult::Finish;

RunningJob::RunningJob(engine::Job its_job, Sequence& its_sequence, std::span<const Token> forbidden,
                       std::optional<LazyConstraint> its_constraint)
    : job(std::move(its_job)),
      sequence(&its_sequence),
      stop(job),
      sampler(job.generate ? job.generate->sampling : SamplingOptions(), forbidden,
              job.generate ? job.generate->logit_bias : std::vector<TokenBias>()),
      constraint(std::move(its_constraint)),
      text(job.generate ? job.generate->stop : std::vector<std::string>()) {}

bool RunningJob::is_enough() const {
  const bool enough = !job.generate || result.generated.tokens.size() >= job.generate->max_tokens;
  return enough || sequence->size() >= sequence->capacity;
}

void RunningJob::end(Finish finish) {
  active = false;
  result.generated.finish = finish;
  result.generated.text = text.text();
}

void RunningJob::fail(Error why) {
  active = false;
  error = std::move(why);
}

JobId JobRun::add(engine::Job job, Sequence& sequence, std::span<const Token> forbidden,
                  std::optional<LazyConstraint> constraint) {
  return jobs_.emplace_back(std::move(job), sequence, forbidden, std::move(constraint)).id;
}

void JobRun::cancel(JobId job) {
  for (auto& one : jobs_) {
    if (one.id == job) one.stop.request();
  }
}

void JobRun::cancel_all() {
  for (auto& one : jobs_) one.stop.request();
}

void JobRun::forget(const Sequence& sequence) {
  for (auto& one : jobs_) {
    if (one.sequence != &sequence) continue;
    if (one.active) one.end(Finish::kCancelled);
    one.sequence = nullptr;
  }
}

bool JobRun::is_busy(const Sequence& sequence) const {
  return std::any_of(jobs_.begin(), jobs_.end(), [&](const RunningJob& one) { return one.sequence == &sequence; });
}

std::vector<CellStore::Growth> JobRun::growths() const {
  std::vector<CellStore::Growth> growths;
  for (const auto& one : jobs_) {
    if (!one.active) continue;
    std::uint64_t most = one.sequence->size() + one.prefill_left().size();
    if (one.job.generate) most += one.job.generate->max_tokens - one.result.generated.tokens.size();
    most = std::min<std::uint64_t>(most, one.sequence->capacity);
    growths.push_back({one.sequence->cells.get(), static_cast<std::uint32_t>(most)});
  }
  return growths;
}

void JobRun::end_those_that_are_done() {
  const bool any_stopped =
      std::any_of(jobs_.begin(), jobs_.end(), [](const auto& one) { return one.stop.requested(); });
  for (auto& one : jobs_) {
    if (!one.active) continue;
    if (one.prefill_left().empty() && one.is_enough()) {
      one.end(Finish::kLength);
    } else if (one.stop.requested() || (any_stopped && mutant(Mutant::kCancelEndsAll))) {
      one.end(Finish::kCancelled);
    }
  }
}

void JobRun::take_out_ended(Events& events) {
  for (auto one = jobs_.begin(); one != jobs_.end();) {
    const auto here = one++;
    if (here->active) continue;
    events.push_back({here->id, here->error ? Result<JobResult>(*here->error) : std::move(here->result)});
    jobs_.erase(here);
  }
}

// Pieces of prompts for this step, in turns: who got one goes to the end of the line.
std::vector<JobRun::Work> JobRun::prefill_work(const engine::StepLimits& limits, bool beside) {
  std::vector<Work> work;
  std::list<RunningJob> served;
  auto left = invariant_ ? std::max(beside ? limits.prefill_tokens_beside : limits.prefill_tokens, 1U) : kChunkTokens;
  for (auto one = jobs_.begin(); one != jobs_.end() && left > 0;) {
    const auto here = one++;
    if (!here->active || here->prefill_left().empty()) continue;
    const auto tokens = here->prefill_left();
    const std::uint32_t pending = here->sequence->pending ? 1 : 0;
    auto count = std::min<std::size_t>({tokens.size(), left, kChunkTokens - pending});
    // Where chunks count, a pending token is computed by itself, and one prefill after the other has its turn.
    if (!invariant_ && pending > 0) count = 0;
    left = invariant_ ? left - static_cast<std::uint32_t>(count) : 0;
    const auto piece = tokens.first(count);
    const auto want = count == tokens.size() ? Want::kLast : Want::kNone;
    work.push_back({&*here, {here->sequence, {piece.begin(), piece.end()}, want}});
    served.splice(served.end(), jobs_, here);
  }
  jobs_.splice(jobs_.end(), served);
  return work;
}

// Whether one decode computes both.
bool JobRun::is_together(const std::vector<Work>& batch, const Work& next) const {
  const auto& decoder = next.part.sequence->cells->decoder();
  const auto& first = batch.front().part;
  if (&first.sequence->cells->decoder() != &decoder || batch.size() >= decoder.most_sequences()) return false;
  if (!invariant_ || !decoder.mixes()) return first.want == Want::kAll && next.part.want == Want::kAll;
  std::size_t rows = next.part.rows();
  for (const auto& work : batch) rows += work.part.rows();
  return rows <= kChunkTokens;
}

void JobRun::step(const engine::StepLimits& limits, Events& events) {
  end_those_that_are_done();
  std::vector<Work> drawing;
  bool draws = false;
  for (auto& one : jobs_) {
    if (!one.active || !one.prefill_left().empty()) continue;
    draws = true;
    if (one.sequence->logits) {
      draw_first(one, events);
    } else {
      prepare_to_draw(*one.sequence);
      drawing.push_back({&one, {one.sequence, {}, Want::kAll}});
    }
  }
  auto work = prefill_work(limits, draws);
  work.insert(work.begin(), std::make_move_iterator(drawing.begin()), std::make_move_iterator(drawing.end()));
  std::vector<std::vector<Work>> batches;
  for (auto& one : work) {
    const auto fits = [&](const std::vector<Work>& batch) { return is_together(batch, one); };
    const auto batch = std::find_if(batches.begin(), batches.end(), fits);
    (batch == batches.end() ? batches.emplace_back() : *batch).push_back(std::move(one));
  }
  for (auto& batch : batches) compute(batch, events);
  end_those_that_are_done();
  take_out_ended(events);
}

namespace {

// How many drafted tokens may be given out: after them one more is drawn, which must fit too.
std::uint32_t room_for_draft(const RunningJob& one) {
  const auto left = one.job.generate->max_tokens - static_cast<std::uint32_t>(one.result.generated.tokens.size());
  const auto room = std::min(one.sequence->capacity - one.sequence->size(), left);
  return room == 0 ? 0 : room - 1;
}

}  // namespace

// Gives each draw of a batch a draft of its own length, where that pays.
void JobRun::add_drafts(std::vector<Work>& batch) const {
  const bool prefills =
      std::any_of(batch.begin(), batch.end(), [](const Work& work) { return work.part.want != Want::kAll; });
  // What does not mix takes drafts of one length only, which pays for one sequence alone.
  const bool mixes = batch.size() == 1 || batch.front().part.sequence->cells->decoder().mixes();
  if (!invariant_ || prefills || !mixes || batch.size() >= kCheapColumns) return;
  std::vector<std::uint32_t> most;
  std::vector<Draft> proposals;
  for (auto& work : batch) {
    most.push_back(room_for_draft(*work.job));
    proposals.push_back(work.job->job.generate->speculate
                            ? work.job->lookup.look_up(work.part.sequence->tokens, kCheapColumns)
                            : Draft{});
  }
  const auto lengths = draft_lengths(proposals, most, times_);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    batch[i].part.tokens.assign(proposals[i].tokens.begin(), proposals[i].tokens.begin() + lengths[i]);
    batch[i].proposal = std::move(proposals[i]);
  }
}

void JobRun::compute(std::vector<Work>& batch, Events& events) {
  add_drafts(batch);
  std::vector<std::stop_token> stops;
  std::vector<StepPart> parts;
  bool draws = true;
  std::size_t columns = 0;
  for (auto& work : batch) {
    stops.push_back(work.job->stop.token());
    parts.push_back(work.part);
    columns += work.part.rows();
    draws = draws && work.part.want == Want::kAll;
  }
  const auto before = Clock::now();
  auto outcomes = [&] {
    const CancelScope scope(*cancellation_, std::move(stops));
    return decode_step(parts);
  }();
  if (draws) {
    times_.learn(static_cast<std::uint32_t>(columns), std::chrono::duration<double>(Clock::now() - before).count());
  }
  for (std::size_t i = 0; i < batch.size(); ++i) take_in(batch[i], outcomes[i], events);
}

void JobRun::take_in(Work& work, StepOutcome& outcome, Events& events) {
  RunningJob& one = *work.job;
  if (outcome.error && outcome.error->code == ErrorCode::kInterrupted) return one.end(Finish::kCancelled);
  const bool draws = work.part.want == Want::kAll;
  if (outcome.error) {
    // Between two prompts' pieces there is no state that its caller could know.
    const bool begun = !draws && one.result.prefill.tokens > 0;
    one.sequence->poisoned = one.sequence->poisoned || begun;
    return one.fail(*std::move(outcome.error));
  }
  return draws ? draw_and_verify(work, outcome, events) : take_in_prefill(work, outcome, events);
}

void JobRun::take_in_prefill(Work& work, const StepOutcome& outcome, Events& events) {
  RunningJob& one = *work.job;
  Sequence& sequence = *one.sequence;
  const auto& piece = work.part.tokens;
  sequence.logits.reset();
  if (piece.empty()) return;  // the pending token went first
  sequence.tokens.insert(sequence.tokens.end(), piece.begin(), piece.end());
  auto& done = one.result.prefill;
  done.tokens += static_cast<std::uint32_t>(piece.size());
  done.time = Clock::now() - one.begin;
  events.push_back({one.id, engine::Prefilled{done.tokens}});
  if (!one.prefill_left().empty()) return;
  const auto logits = outcome.logits.back();
  if (one.is_enough() || one.stop.requested()) {
    sequence.logits = std::make_shared<const Logits>(logits.begin(), logits.end());
  } else {
    draw(one, logits, events);
  }
}

void JobRun::draw_first(RunningJob& job, Events& events) {
  const auto logits = job.sequence->logits;  // keeps them alive: drawing lets the sequence forget them
  draw(job, *logits, events);
}

// Draws from one row after another as long as the token drawn is the one that the next row was computed with: the very
// tokens that step by step would have come, from the very same logits.
void JobRun::draw_and_verify(Work& work, const StepOutcome& outcome, Events& events) {
  RunningJob& one = *work.job;
  Sequence& sequence = *one.sequence;
  const auto& draft = work.part.tokens;
  auto& result = one.result.generated;
  const auto before = sequence.tokens.size();
  for (std::size_t i = 0; i < outcome.logits.size(); ++i) {
    draw(one, outcome.logits[i], events);
    const bool right = i + 1 < outcome.logits.size() && one.active && sequence.tokens.back() == draft[i];
    if (!right || one.stop.requested()) break;
    sequence.pending = false;  // its cell is there already
    ++result.accepted_tokens;
  }
  result.drafted_tokens += static_cast<std::uint32_t>(outcome.logits.size() - 1);
  one.lookup.learn(work.proposal, std::span(sequence.tokens).subspan(before));
  if (outcome.logits.size() > 1 && !sequence.poisoned) drop_draft(sequence);
}

// The next token. kCorrupt: the logits are no numbers; kUnsupported: bias and grammar leave none.
Result<Token> JobRun::choose(RunningJob& one, std::span<const float> logits) {
  const auto& options = *one.job.generate;
  const auto& history = one.sequence->tokens;
  auto drawn = one.sampler.draw(logits, history);
  if (!drawn && !std::isfinite(largest_of(logits))) {
    return Error{ErrorCode::kCorrupt, "the model gave no finite logits", {}, "get its file again"};
  }
  if (!drawn) return engine::no_token_left(options);
  std::vector<float> masked;
  while (one.constraint) {
    BH_TRY(const auto fits, one.constraint->take(*drawn));
    if (fits) break;
    // Most draws fit: only for the others all tokens are looked at. Without filters each token has the same chance as
    // if that had been done at once; a filter looks at all tokens in the first draw, at those that fit in the second.
    if (masked.empty()) masked.assign(logits.begin(), logits.end());
    BH_CHECK(one.constraint->mask(masked, *drawn));
    drawn = one.sampler.draw(masked, history);
    if (!drawn) return engine::no_token_left(options);
  }
  return *drawn;
}

// False: its callback wants no more.
bool JobRun::tell(RunningJob& one, Token token, std::string piece, Events& events) const {
  const auto& options = *one.job.generate;
  const auto& result = one.result.generated;
  engine::Drawn drawn{token, static_cast<std::uint32_t>(result.tokens.size()) - 1, std::move(piece)};
  if (options.logprobs) drawn.logprobs = result.logprobs.back();
  const auto* logprobs = drawn.logprobs ? &*drawn.logprobs : nullptr;
  const bool wanted = !options.on_token || options.on_token({token, drawn.index, drawn.piece, logprobs});
  events.push_back({one.id, std::move(drawn)});
  return wanted;
}

void JobRun::draw(RunningJob& one, std::span<const float> logits, Events& events) {
  Sequence& sequence = *one.sequence;
  const auto& options = *one.job.generate;
  const auto drawn = choose(one, logits);
  if (!drawn.ok()) {
    sequence.poisoned = drawn.error().code != ErrorCode::kUnsupported;
    return one.fail(drawn.error());
  }
  const Token token = drawn.value();
  auto& result = one.result.generated;
  if (options.hash_logits) result.logit_hashes.push_back(xxh3_64(std::as_bytes(logits)));
  if (options.logprobs) result.logprobs.push_back(logprobs_of(logits, token, *options.logprobs));
  result.tokens.push_back(token);
  result.token_times.push_back(Clock::now() - one.begin);
  sequence.tokens.push_back(token);
  sequence.pending = true;
  sequence.logits.reset();
  std::string piece = tokenizer_->piece(token);
  const bool ends = tokenizer_->ends_generation(token);
  const bool stopped = !ends && one.text.append(piece);
  const bool wanted = tell(one, token, std::move(piece), events);
  if (ends) return one.end(Finish::kEnd);
  if (stopped) return one.end(Finish::kStop);
  if (!wanted) one.end(Finish::kCancelled);
}

}  // namespace bulkhead::engines::llama
