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

// The tokens of a part that go into the cache.
std::vector<Token> input_of(const StepPart& part) {
  std::vector<Token> tokens;
  if (part.sequence->pending) tokens.push_back(part.sequence->tokens.back());
  tokens.insert(tokens.end(), part.tokens.begin(), part.tokens.end());
  return tokens;
}

StepOutcome decode_alone(const StepPart& part) {
  StepOutcome outcome;
  Sequence& sequence = *part.sequence;
  const bool draws = part.want == Want::kAll;
  const auto tokens = input_of(draws ? StepPart{part.sequence, {}, part.want} : part);
  const auto decoded = decode_chunk(sequence, sequence.cached(), tokens, draws ? Want::kLast : part.want);
  if (decoded.ok()) {
    outcome.own = decoded.value();
    if (part.want != Want::kNone) outcome.logits = {outcome.own};
    sequence.pending = false;
  } else {
    outcome.error = decoded.error();
    sequence.poisoned = !is_harmless(*outcome.error);
  }
  return outcome;
}

// Defects D12 and M7; see mutant.h.
void spoil(StepOutcome& outcome, std::span<const StepPart> batch, std::size_t index) {
  if (!mutant(Mutant::kOverread) && !mutant(Mutant::kNeighbourLength)) return;
  if (outcome.logits.empty()) return;
  outcome.own.assign(outcome.logits[0].begin(), outcome.logits[0].end());
  outcome.logits[0] = outcome.own;
  const Sequence& neighbour = *batch[(index + 1) % batch.size()].sequence;
  if (neighbour.tokens.empty()) return;
  if (mutant(Mutant::kOverread)) outcome.own[static_cast<std::size_t>(neighbour.tokens.front())] += 1.0F;
  if (mutant(Mutant::kNeighbourLength)) outcome.own[neighbour.size() % outcome.own.size()] += 1.0F;
}

// In which order parts decode fast together.
std::vector<std::size_t> order_of(std::span<const StepPart> parts) {
  std::vector<std::size_t> order(parts.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return parts[a].sequence->cells->order() < parts[b].sequence->cells->order();
  });
  return order;
}

// The rows of parts in `order`; `ends` gets where each part's end.
std::vector<BatchToken> batch_of(std::span<const StepPart> parts, std::span<const std::size_t> order,
                                 std::vector<std::size_t>& ends) {
  std::vector<BatchToken> batch;
  for (const auto i : order) {
    const StepPart& part = parts[i];
    auto tokens = input_of(part);
    const Sequence& next = *parts[(i + 1) % parts.size()].sequence;
    if (mutant(Mutant::kUnsyncedInputs) && part.sequence->pending && !next.tokens.empty())
      tokens[0] = next.tokens.back();
    auto position = part.sequence->cached();
    for (std::size_t k = 0; k < tokens.size(); ++k) {
      const bool wanted = part.want == Want::kAll || (part.want == Want::kLast && k + 1 == tokens.size());
      batch.push_back({tokens[k], position++, part.sequence->cells.get(), wanted});
    }
    ends.push_back(batch.size());
  }
  return batch;
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

std::vector<StepOutcome> decode_step(std::span<const StepPart> parts) {
  std::vector<StepOutcome> outcomes(parts.size());
  if (parts.size() == 1 && (parts[0].want != Want::kAll || parts[0].tokens.empty())) {
    outcomes[0] = decode_alone(parts[0]);
    return outcomes;
  }
  const auto order = order_of(parts);
  std::vector<std::size_t> ends;
  const auto batch = batch_of(parts, order, ends);
  auto& decoder = parts[0].sequence->cells->decoder();
  std::string reason;
  if (const auto decoded = decoder.decode(batch, reason); decoded != Decoded::kDone) {
    for (const auto& part : parts) static_cast<void>(restore(*part.sequence, part.sequence->cached()));
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (decoded == Decoded::kAborted) {
        outcomes[i].error = error_of(decoded, {});
      } else {
        outcomes[i] = decode_alone(parts[i]);
      }
    }
    return outcomes;
  }
  for (const auto& part : parts) part.sequence->pending = false;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const auto& part = parts[order[k]];
    auto& outcome = outcomes[mutant(Mutant::kSwappedResults) ? k : order[k]];
    auto rows = part.want == Want::kNone ? 0 : part.want == Want::kLast ? 1 : ends[k] - (k == 0 ? 0 : ends[k - 1]);
    const auto source = mutant(Mutant::kRowsMixedUp) && order.size() > 2 ? (k + 1) % order.size() : k;
    for (auto row = ends[source] - rows; row < ends[source]; ++row) {
      outcome.logits.push_back(decoder.row(row));
      if (!outcome.logits.back().empty()) continue;
      part.sequence->poisoned = true;
      outcome.error = Error{ErrorCode::kInternal, "libllama gave no logits", {}, {}};
    }
    if (!outcome.error) spoil(outcome, parts, order[k]);
  }
  return outcomes;
}

}  // namespace bulkhead::engines::llama
