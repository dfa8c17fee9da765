// SPDX-License-Identifier: MIT
#include "engines/llama/sequence.h"

#include "engines/llama/mutant.h"

#include <algorithm>
#include <memory>
#include <string>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

// Takes out what a failed decode may have left behind position `cached`.
bool restore(const Sequence& sequence, std::uint32_t cached) {
  return sequence.cells->trim(cached);
}

Error error_of(Decoded decoded, std::string reason) {
  switch (decoded) {
    case Decoded::kAborted: return {ErrorCode::kInterrupted, "the computation was cancelled", {}, {}};
    case Decoded::kNoRoom:
      return {ErrorCode::kResource, std::move(reason), {}, "close partitions, or use fewer or shorter ones"};
    case Decoded::kDone:
    case Decoded::kFailed: break;
  }
  return {ErrorCode::kInternal, std::move(reason), {}, {}};
}

// Errors that leave a sequence as it was.
bool is_harmless(const Error& error) {
  return error.code == ErrorCode::kInterrupted || error.code == ErrorCode::kResource;
}

StepOutcome decode_alone(Sequence& sequence) {
  StepOutcome outcome;
  const auto decoded = decode_chunk(sequence, sequence.cached(), std::span(sequence.tokens).last(1), Want::kLast);
  if (decoded.ok()) {
    outcome.own = decoded.value();
    outcome.logits = {outcome.own};
    sequence.pending = false;
  } else {
    outcome.error = decoded.error();
    sequence.poisoned = !is_harmless(*outcome.error);
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

Result<Logits> decode_chunk(const Sequence& sequence, std::uint32_t position, std::span<const Token> tokens,
                            Want want) {
  std::vector<BatchToken> batch;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool wanted = want == Want::kAll || (want == Want::kLast && i + 1 == tokens.size());
    batch.push_back({tokens[i], position + static_cast<std::uint32_t>(i), sequence.cells.get(), wanted});
  }
  auto& decoder = sequence.cells->decoder();
  std::string reason;
  if (const auto decoded = decoder.decode(batch, reason); decoded != Decoded::kDone) {
    const bool restored = restore(sequence, position);
    return error_of(restored ? decoded : Decoded::kFailed, std::move(reason));
  }
  Logits rows;
  if (want == Want::kNone) return rows;
  for (std::size_t i = want == Want::kAll ? 0 : tokens.size() - 1; i < tokens.size(); ++i) {
    const auto logits = decoder.row(i);
    if (logits.empty()) return Error{ErrorCode::kInternal, "libllama gave no logits", {}, {}};
    rows.insert(rows.end(), logits.begin(), logits.end());
  }
  return rows;
}

Result<void> append(Sequence& sequence, std::span<const Token> tokens, const engine::PrefillProgress& progress) {
  const auto before = sequence.size();
  const auto decode = [&](std::span<const Token> chunk, Want want) -> Result<Logits> {
    auto rows = decode_chunk(sequence, sequence.cached(), chunk, want);
    const bool untouched = sequence.size() == before && !rows.ok() && rows.error().code == ErrorCode::kResource;
    if (!rows.ok() && !untouched) sequence.poisoned = true;
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
  // A snapshot may hold all cells but no logits: compute the last token once more.
  sequence.poisoned = !restore(sequence, sequence.size() - 1);
  sequence.pending = true;
}

void drop_draft(Sequence& sequence) {
  if (!restore(sequence, sequence.cached())) sequence.poisoned = true;
}

std::vector<StepOutcome> decode_step(std::span<Sequence* const> sequences, std::span<const std::vector<Token>> drafts) {
  std::vector<StepOutcome> outcomes(sequences.size());
  const auto rows_each = 1 + drafts[0].size();
  if (sequences.size() == 1 && rows_each == 1) {
    outcomes[0] = decode_alone(*sequences[0]);
    return outcomes;
  }
  std::vector<std::size_t> order(sequences.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return sequences[a]->cells->order() < sequences[b]->cells->order(); });
  std::vector<BatchToken> batch;
  for (const auto i : order) {
    const Sequence& sequence = *sequences[i];
    auto position = sequence.cached();
    const auto& input = mutant(Mutant::kUnsyncedInputs) ? *sequences[(i + 1) % sequences.size()] : sequence;
    batch.push_back({input.tokens.back(), position, sequence.cells.get(), true});
    for (const auto token : drafts[i]) batch.push_back({token, ++position, sequence.cells.get(), true});
  }
  auto& decoder = sequences[0]->cells->decoder();
  std::string reason;
  if (const auto decoded = decoder.decode(batch, reason); decoded != Decoded::kDone) {
    for (const auto* sequence : sequences) static_cast<void>(restore(*sequence, sequence->cached()));
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      if (decoded == Decoded::kAborted) {
        outcomes[i].error = error_of(decoded, {});
      } else {
        outcomes[i] = decode_alone(*sequences[i]);
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
      outcome.logits.push_back(decoder.row(first + j));
      if (!outcome.logits.back().empty()) continue;
      sequence.poisoned = true;
      outcome.error = Error{ErrorCode::kInternal, "libllama gave no logits", {}, {}};
    }
    if (!outcome.error) spoil(outcome, sequences, order[k]);
  }
  return outcomes;
}

}  // namespace bulkhead::engines::llama
