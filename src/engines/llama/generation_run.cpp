// SPDX-License-Identifier: MIT
#include "engines/llama/generation_run.h"

#include "base/hash.h"
#include "base/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace bulkhead::engines::llama {

using engine::Token;
using Finish = engine::GenerateResult::Finish;

void GenerationRun::run(std::span<Generation* const> generations) {
  const auto active = [](const Generation* generation) { return generation->active; };
  for (;;) {
    end_those_at_their_limit(generations);
    if (std::none_of(generations.begin(), generations.end(), active)) break;
    if (cancellation_->requested()) {
      for (auto* generation : generations) {
        if (generation->active) end(*generation, Finish::kCancelled);
      }
      break;
    }
    std::map<PoolContext*, std::vector<Generation*>> to_decode;
    for (auto* generation : generations) {
      if (!generation->active) continue;
      if (generation->sequence->logits) {
        draw_first(*generation);
      } else {
        to_decode[generation->sequence->place.context].push_back(generation);
      }
    }
    for (const auto& [context, members] : to_decode) decode_and_draw(members);
  }
  const auto milliseconds = [](Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  log::get().debug("generated for {} sequences in {:.1f} ms, of which {:.1f} ms drawing tokens", generations.size(),
                   milliseconds(Clock::now() - begin_), milliseconds(drawing_));
}

void GenerationRun::end(Generation& generation, Finish finish) const {
  generation.active = false;
  generation.result.finish = finish;
  generation.result.text = generation.text.text();
}

void GenerationRun::end_those_at_their_limit(std::span<Generation* const> generations) const {
  for (auto* generation : generations) {
    const bool enough = generation->result.tokens.size() >= generation->options->max_tokens;
    const bool full = generation->sequence->size() >= generation->sequence->capacity;
    if (generation->active && (enough || full)) end(*generation, Finish::kLength);
  }
}

void GenerationRun::draw_first(Generation& generation) {
  const auto logits = generation.sequence->logits;  // keeps them alive: drawing lets the sequence forget them
  draw(generation, *logits);
}

void GenerationRun::decode_and_draw(std::span<Generation* const> generations) {
  std::vector<Sequence*> sequences;
  sequences.reserve(generations.size());
  for (auto* generation : generations) {
    prepare_to_draw(*generation->sequence);
    sequences.push_back(generation->sequence);
  }
  auto outcomes = decode_step(sequences, vocabulary_);
  for (std::size_t i = 0; i < generations.size(); ++i) {
    Generation& generation = *generations[i];
    if (!outcomes[i].error) {
      draw(generation, outcomes[i].logits);
    } else if (outcomes[i].error->code == ErrorCode::kInterrupted) {
      end(generation, Finish::kCancelled);
    } else {
      generation.active = false;
      generation.error = std::move(outcomes[i].error);
    }
  }
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
    generation.error = Error{ErrorCode::kInternal, "the model gave no finite logits", {}, {}};
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
