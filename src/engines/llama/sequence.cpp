// SPDX-License-Identifier: MIT
#include "engines/llama/sequence.h"

#include "engines/llama/backend.h"
#include "engines/llama/cache_guard.h"
#include "engines/llama/mutant.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <string>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

// What llama_decode() gives; both are found after it has carried out the copies that waited.
constexpr int kNoRoom = 1;
constexpr int kAborted = 2;

// llama_batch over vectors of ours.
class Batch {
 public:
  void add(Token token, std::uint32_t position, llama_seq_id sequence, bool want_logits) {
    tokens_.push_back(token);
    positions_.push_back(static_cast<llama_pos>(position));
    counts_.push_back(1);
    sequences_.push_back(sequence);
    wanted_.push_back(want_logits ? 1 : 0);
  }

  // libllama's code, or -4 when it threw; `reason` says more. A failure may leave some tokens in the cache.
  int decode(PoolContext& context, std::string& reason) {
    std::vector<llama_seq_id*> pointers;
    pointers.reserve(sequences_.size());
    for (auto& id : sequences_) pointers.push_back(&id);
    const llama_batch batch{static_cast<std::int32_t>(tokens_.size()),
                            tokens_.data(),
                            nullptr,
                            positions_.data(),
                            counts_.data(),
                            pointers.data(),
                            wanted_.data()};
    const LoggedErrors errors;
    const kernels::AttentionScope attention(context.attention);
    const auto guard = guarded(context);
    int code = -4;
    try {
      code = llama_decode(context.handle.get(), batch);
      reason = fmt::format("libllama could not decode (code {}): {}", code, errors.text());
    } catch (const std::exception& failure) {
      reason = fmt::format("libllama could not decode: {}; {}", failure.what(), errors.text());
    }
    if (code == 0 || code == kNoRoom || code == kAborted) context.copy_waits = false;
    return code;
  }

 private:
  // Notes which cells will be written, and keeps all others out of reach if that was asked for.
  [[nodiscard]] std::unique_ptr<CacheGuard> guarded(PoolContext& context) const {
    std::vector<std::uint32_t> own;
    std::vector<std::uint32_t> free_from;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const auto id = static_cast<std::uint32_t>(sequences_[i]);
      auto& written = context.written_cells[id];
      written = std::max(written, static_cast<std::uint32_t>(positions_[i]) + 1);
      if (std::find(own.begin(), own.end(), id) != own.end()) continue;
      own.push_back(id);
      free_from.push_back(static_cast<std::uint32_t>(positions_[i]));
    }
    // What carries out a waiting copy computes nothing, and must read the source.
    if (context.guard == Guard::kNone || context.copy_waits) return nullptr;
    return std::make_unique<CacheGuard>(context.guard, *context.cache, own, free_from);
  }

  std::vector<Token> tokens_;
  std::vector<llama_pos> positions_;
  std::vector<std::int32_t> counts_;
  std::vector<llama_seq_id> sequences_;
  std::vector<std::int8_t> wanted_;
};

std::span<const float> row(const PoolContext& context, std::size_t index, std::uint32_t vocabulary) {
  const float* logits = llama_get_logits_ith(context.handle.get(), static_cast<std::int32_t>(index));
  return logits == nullptr ? std::span<const float>() : std::span(logits, vocabulary);
}

// Takes out what a failed decode may have left behind position `cached`.
bool restore(const Sequence& sequence, std::uint32_t cached) {
  if (mutant(Mutant::kHalfWritten)) return true;
  return llama_memory_seq_rm(sequence.place.context->memory(), sequence.place.id, static_cast<llama_pos>(cached), -1);
}

Error interrupted() {
  return {ErrorCode::kInterrupted, "the computation was cancelled", {}, {}};
}

StepOutcome decode_alone(Sequence& sequence, std::uint32_t vocabulary) {
  StepOutcome outcome;
  const auto decoded =
      decode_chunk(sequence, sequence.cached(), std::span(sequence.tokens).last(1), Want::kLast, vocabulary);
  if (decoded.ok()) {
    outcome.own = decoded.value();
    outcome.logits = {outcome.own};
    sequence.pending = false;
  } else {
    outcome.error = decoded.error();
    sequence.poisoned = outcome.error->code != ErrorCode::kInterrupted;
  }
  return outcome;
}

// Defects D12 and M7; see mutant.h.
void spoil(StepOutcome& outcome, std::span<Sequence* const> batch, std::size_t index) {
  if (!mutant(Mutant::kOverread) && !mutant(Mutant::kNeighbourLength)) return;
  outcome.own.assign(outcome.logits[0].begin(), outcome.logits[0].end());
  outcome.logits[0] = outcome.own;
  const Sequence& neighbour = *batch[(index + 1) % batch.size()];
  if (mutant(Mutant::kOverread)) outcome.own[static_cast<std::size_t>(neighbour.tokens.front())] += 1.0F;
  if (mutant(Mutant::kNeighbourLength)) outcome.own[neighbour.size() % outcome.own.size()] += 1.0F;
}

}  // namespace

Result<Logits> decode_chunk(const Sequence& sequence, std::uint32_t position, std::span<const Token> tokens, Want want,
                            std::uint32_t vocabulary) {
  Batch batch;
  auto id = sequence.place.id;
  if (mutant(Mutant::kWrongSequence) && tokens.size() > 1) {
    id = (id + 1) % static_cast<llama_seq_id>(sequence.place.context->taken.size());
  }
  if (mutant(Mutant::kOffByOnePosition) && position == 0) {
    position += std::ranges::count(sequence.place.context->taken, true) > 1 ? 1U : 0U;
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool wanted = want == Want::kAll || (want == Want::kLast && i + 1 == tokens.size());
    batch.add(tokens[i], position + static_cast<std::uint32_t>(i), id, wanted);
  }
  PoolContext& context = *sequence.place.context;
  std::string reason;
  const int code = batch.decode(context, reason);
  if (code != 0) {
    const bool restored = restore(sequence, position);
    if (code == kAborted && restored) return interrupted();
    return Error{ErrorCode::kInternal, std::move(reason), {}, {}};
  }
  Logits rows;
  if (want == Want::kNone) return rows;
  for (std::size_t i = want == Want::kAll ? 0 : tokens.size() - 1; i < tokens.size(); ++i) {
    const auto logits = row(context, i, vocabulary);
    if (logits.empty()) return Error{ErrorCode::kInternal, "libllama gave no logits", {}, {}};
    rows.insert(rows.end(), logits.begin(), logits.end());
  }
  return rows;
}

bool carry_out_copies(const Sequence& sequence) {
  PoolContext& context = *sequence.place.context;
  if (!context.copy_waits) return true;
  Batch batch;
  batch.add(0, sequence.cached(), sequence.place.id, false);
  std::string reason;
  static_cast<void>(batch.decode(context, reason));
  return restore(sequence, sequence.cached()) && !context.copy_waits;
}

Result<void> append(Sequence& sequence, std::span<const Token> tokens, std::uint32_t vocabulary,
                    const engine::PrefillProgress& progress) {
  const auto decode = [&](std::span<const Token> chunk, Want want) -> Result<Logits> {
    auto rows = decode_chunk(sequence, sequence.cached(), chunk, want, vocabulary);
    if (!rows.ok()) sequence.poisoned = true;
    return rows;
  };
  sequence.logits.reset();
  if (sequence.pending) {
    const Token pending = sequence.tokens.back();
    if (const auto done = decode(std::span(&pending, 1), Want::kNone); !done.ok()) return done.error();
    sequence.pending = false;
  }
  for (std::uint32_t done = 0; !tokens.empty();) {
    const auto chunk = tokens.first(std::min<std::size_t>(tokens.size(), kChunkTokens));
    const bool last = chunk.size() == tokens.size();
    BH_TRY(auto rows, decode(chunk, last ? Want::kLast : Want::kNone));
    sequence.tokens.insert(sequence.tokens.end(), chunk.begin(), chunk.end());
    if (last) sequence.logits = std::make_shared<const Logits>(std::move(rows));
    tokens = tokens.subspan(chunk.size());
    done += static_cast<std::uint32_t>(chunk.size());
    if (progress) progress(done);
  }
  return {};
}

void prepare_to_draw(Sequence& sequence) {
  if (sequence.logits || sequence.pending) return;
  // A fork at an earlier position took over the cache but not the logits there: compute its last token once more.
  sequence.poisoned = !restore(sequence, sequence.size() - 1);
  sequence.pending = true;
}

void drop_draft(Sequence& sequence) {
  if (!restore(sequence, sequence.cached())) sequence.poisoned = true;
}

std::vector<StepOutcome> decode_step(std::span<Sequence* const> sequences, std::span<const std::vector<Token>> drafts,
                                     std::uint32_t vocabulary) {
  std::vector<StepOutcome> outcomes(sequences.size());
  const auto rows_each = 1 + drafts[0].size();
  if (sequences.size() == 1 && rows_each == 1) {
    outcomes[0] = decode_alone(*sequences[0], vocabulary);
    return outcomes;
  }
  // libllama joins only ascending ids into one computation.
  std::vector<std::size_t> order(sequences.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return sequences[a]->place.id < sequences[b]->place.id; });
  Batch batch;
  for (const auto i : order) {
    const Sequence& sequence = *sequences[i];
    auto position = sequence.cached();
    const auto& input = mutant(Mutant::kUnsyncedInputs) ? *sequences[(i + 1) % sequences.size()] : sequence;
    batch.add(input.tokens.back(), position, sequence.place.id, true);
    for (const auto token : drafts[i]) batch.add(token, ++position, sequence.place.id, true);
  }
  PoolContext& context = *sequences[0]->place.context;
  std::string reason;
  const int code = batch.decode(context, reason);
  if (code != 0) {
    for (const auto* sequence : sequences) static_cast<void>(restore(*sequence, sequence->cached()));
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      if (code == kAborted) {
        outcomes[i].error = interrupted();
      } else {
        outcomes[i] = decode_alone(*sequences[i], vocabulary);
      }
    }
    return outcomes;
  }
  for (std::size_t k = 0; k < order.size(); ++k) {
    auto& outcome = outcomes[mutant(Mutant::kSwappedResults) ? k : order[k]];
    const auto first = (mutant(Mutant::kRowsMixedUp) && order.size() > 2 ? (k + 1) % order.size() : k) * rows_each;
    Sequence& sequence = *sequences[order[k]];
    sequence.pending = false;
    for (std::size_t j = 0; j < rows_each; ++j) {
      outcome.logits.push_back(row(context, first + j, vocabulary));
      if (!outcome.logits.back().empty()) continue;
      sequence.poisoned = true;
      outcome.error = Error{ErrorCode::kInternal, "libllama gave no logits", {}, {}};
    }
    if (!outcome.error) spoil(outcome, sequences, order[k]);
  }
  return outcomes;
}

}  // namespace bulkhead::engines::llama
