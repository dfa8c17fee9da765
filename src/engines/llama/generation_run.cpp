// SPDX-License-Identifier: MIT
#include "engines/llama/generation_run.h"

#include "base/hash.h"
#include "base/log.h"
#include "engines/llama/mutant.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace bulkhead::engines::llama {

using engine::Token;
using Finish = engine::GenerateResult::Finish;

void GenerationRun::run(std::span<Generation* const> generations) {
  const auto active = [](const Generation* generation) { return generation->active; };
  for (;;) {
    end_those_that_are_done(generations);
    if (std::none_of(generations.begin(), generations.end(), active)) break;
    std::map<Decoder*, std::vector<Generation*>> to_decode;
    for (auto* generation : generations) {
      if (!generation->active) continue;
      if (generation->sequence->logits) {
        draw_first(*generation);
      } else {
        to_decode[&generation->sequence->cells->decoder()].push_back(generation);
      }
    }
    for (const auto& [decoder, members] : to_decode) {
      for (std::span<Generation* const> rest(members); !rest.empty();) {
        const auto some = rest.first(std::min(rest.size(), decoder->most_sequences()));
        decode_and_draw(some);
        rest = rest.subspan(some.size());
      }
    }
  }
  const auto milliseconds = [](Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  log::get().debug("generated for {} sequences in {:.1f} ms, of which {:.1f} ms drawing tokens", generations.size(),
                   milliseconds(Clock::now() - begin_), milliseconds(drawing_));
}

void GenerationRun::end(Generation& generation, Finish finish) {
  generation.active = false;
  generation.result.finish = finish;
  generation.result.text = generation.text.text();
}

void GenerationRun::end_those_that_are_done(std::span<Generation* const> generations) {
  const auto any_cancelled = [&] {
    return std::any_of(generations.begin(), generations.end(),
                       [](const auto* generation) { return generation->options->cancel.stop_requested(); });
  };
  for (auto* generation : generations) {
    if (!generation->active) continue;
    const bool enough = generation->result.tokens.size() >= generation->options->max_tokens;
    const bool full = generation->sequence->size() >= generation->sequence->capacity;
    if (enough || full) {
      end(*generation, Finish::kLength);
    } else if (generation->options->cancel.stop_requested() || (mutant(Mutant::kCancelEndsAll) && any_cancelled())) {
      end(*generation, Finish::kCancelled);
    }
  }
}

void GenerationRun::draw_first(Generation& generation) {
  const auto logits = generation.sequence->logits;  // keeps them alive: drawing lets the sequence forget them
  draw(generation, *logits);
}

std::vector<Draft> GenerationRun::look_up_drafts(std::span<Generation* const> generations) const {
  std::vector<Draft> drafts(generations.size());
  if (!draft_ || generations.size() * 2 > kCheapColumns) return drafts;
  for (std::size_t i = 0; i < generations.size(); ++i) {
    const auto& generation = *generations[i];
    if (generation.options->speculate)
      drafts[i] = generation.lookup.look_up(generation.sequence->tokens, kCheapColumns);
  }
  return drafts;
}

namespace {

// How many drafted tokens may be given out: after them one more is drawn, which must fit too.
std::uint32_t room_for_draft(const Generation& generation) {
  const auto& sequence = *generation.sequence;
  const auto left = generation.options->max_tokens - static_cast<std::uint32_t>(generation.result.tokens.size());
  const auto room = std::min(sequence.capacity - sequence.size(), left);
  return room == 0 ? 0 : room - 1;
}

// Of `length` tokens; a sequence without a proposal is given something, so that all have the same length.
std::vector<Token> filled(const Draft& proposal, std::uint32_t length, Token filling) {
  std::vector<Token> tokens(length, filling);
  std::copy_n(proposal.tokens.begin(), std::min<std::size_t>(length, proposal.tokens.size()), tokens.begin());
  return tokens;
}

}  // namespace

void GenerationRun::decode_and_draw(std::span<Generation* const> generations) {
  std::vector<Sequence*> sequences;
  std::vector<std::stop_token> cancels;
  sequences.reserve(generations.size());
  cancels.reserve(generations.size());
  std::uint32_t most = kCheapColumns;
  for (auto* generation : generations) {
    prepare_to_draw(*generation->sequence);
    sequences.push_back(generation->sequence);
    cancels.push_back(generation->options->cancel);
    most = std::min(most, room_for_draft(*generation));
  }
  const auto proposals = look_up_drafts(generations);
  const auto length = best_draft_length(proposals, most, times_);
  std::vector<std::vector<Token>> drafts;
  for (std::size_t i = 0; i < generations.size(); ++i)
    drafts.push_back(filled(proposals[i], length, sequences[i]->tokens.back()));
  const CancelScope scope(*cancellation_, std::move(cancels));
  const auto before = Clock::now();
  auto outcomes = decode_step(sequences, drafts);
  times_.learn(static_cast<std::uint32_t>(generations.size()) * (1 + length),
               std::chrono::duration<double>(Clock::now() - before).count());
  for (std::size_t i = 0; i < generations.size(); ++i) {
    Generation& generation = *generations[i];
    if (!outcomes[i].error) {
      draw_and_verify(generation, outcomes[i], proposals[i], drafts[i]);
    } else if (outcomes[i].error->code == ErrorCode::kInterrupted) {
      end(generation, Finish::kCancelled);
    } else {
      generation.active = false;
      generation.error = std::move(outcomes[i].error);
    }
  }
}

// Draws from one row after another as long as the token drawn is the one that the next row was computed with: the very
// tokens that step by step would have come, from the very same logits.
void GenerationRun::draw_and_verify(Generation& generation, const StepOutcome& outcome, const Draft& proposal,
                                    std::span<const Token> draft) {
  Sequence& sequence = *generation.sequence;
  const auto before = sequence.tokens.size();
  for (std::size_t i = 0; i < outcome.logits.size(); ++i) {
    draw(generation, outcome.logits[i]);
    const bool right = i + 1 < outcome.logits.size() && generation.active && sequence.tokens.back() == draft[i];
    if (!right || generation.options->cancel.stop_requested()) break;
    sequence.pending = false;  // its cell is there already
    ++generation.result.accepted_tokens;
  }
  generation.result.drafted_tokens += static_cast<std::uint32_t>(outcome.logits.size() - 1);
  generation.lookup.learn(proposal, std::span(sequence.tokens).subspan(before));
  if (outcome.logits.size() > 1 && !sequence.poisoned) drop_draft(sequence);
}

void GenerationRun::draw(Generation& generation, std::span<const float> logits) {
  Sequence& sequence = *generation.sequence;
  const auto before = Clock::now();
  const auto drawn = generation.sampler.draw(logits, sequence.tokens);
  const auto after = Clock::now();
  drawing_ += after - before;
  if (!drawn) {
    sequence.poisoned = true;
    generation.active = false;
    generation.error = Error{ErrorCode::kCorrupt, "the model gave no finite logits", {}, "get its file again"};
    return;
  }
  auto& result = generation.result;
  const auto index = static_cast<std::uint32_t>(result.tokens.size());
  if (generation.options->hash_logits) result.logit_hashes.push_back(xxh3_64(std::as_bytes(logits)));
  result.tokens.push_back(*drawn);
  result.token_times.push_back(after - begin_);
  sequence.tokens.push_back(*drawn);
  sequence.pending = true;
  sequence.logits.reset();
  const std::string piece = tokenizer_->piece(*drawn);
  const bool ends = tokenizer_->ends_generation(*drawn);
  const bool stopped = !ends && generation.text.append(piece);
  const bool wanted = !generation.options->on_token || generation.options->on_token({*drawn, index, piece});
  if (ends) return end(generation, Finish::kEnd);
  if (stopped) return end(generation, Finish::kStop);
  if (!wanted) end(generation, Finish::kCancelled);
}

}  // namespace bulkhead::engines::llama
