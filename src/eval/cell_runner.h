// SPDX-License-Identifier: MIT
// Runs the items of one context on an engine: the context is prefilled once and forked for every item, the item is
// prefilled once, and its candidates are scored as continuations of it (log probability of given tokens). An output is
// written, greedily.
#pragma once

#include "base/result.h"
#include "dataset/dataset.h"
#include "engine/engine.h"
#include "eval/cell.h"
#include "eval/evaluation_condition.h"
#include "eval/item.h"
#include "prompt/assembly.h"
#include "prompt/format.h"

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace bulkhead::eval {

struct PreparedItem {
  Item item;
  std::vector<engine::Token> prompt;                   // context, question and lead, from the first token on
  std::vector<std::vector<engine::Token>> candidates;  // [n_candidates]
};

struct PreparedContext {
  std::string name;
  std::vector<PreparedItem> items;
  std::size_t shared = 0;     // leading tokens that all items have in common; at least one token of each item is left
  std::uint32_t longest = 0;  // most tokens any sequence will hold
  std::vector<std::string> stops;  // texts that end an output
};

// Tokens of the context with each of `items` (those of the context's clusters; the others are left out). Chat formats:
// the question is the user's, the answer begins after the opened turn of the assistant. Raw formats: "Question:
// ...\nAnswer:". Errors: those of prompt::assemble.
[[nodiscard]] Result<PreparedContext> prepare_context(const dataset::Conversation& conversation,
                                                      const EvaluationContext& context, std::span<const Item> items,
                                                      const prompt::Format& format, const engine::Tokenizer& tokenizer);

// The same of all `items`, in a context of these blocks; it has no name yet.
[[nodiscard]] Result<PreparedContext> prepare_items(std::span<const prompt::Block> blocks, std::span<const Item> items,
                                                    const prompt::Format& format, const engine::Tokenizer& tokenizer);

// What the model draws token by token after an item's prompt, from its distributions as they are (temperature 1,
// nothing cut off): `sample_tokens` at most, the end token included. The mean over samples of log p - log q, where p is
// what drew them and q another model or context, is the Kullback-Leibler divergence of q from p (chain rule: Cover and
// Thomas, Elements of Information Theory, 2.5).
struct Sample {
  std::vector<engine::Token> tokens;
  std::string text;  // UTF-8
};
[[nodiscard]] Result<Sample> draw_sample(engine::Engine& engine, const PreparedItem& prepared, std::uint32_t seed,
                                         const std::stop_token& cancel);

// Runs those items for which `wanted` says so, in order, and hands each cell to `done` as soon as it is there; an error
// of `done` ends the run. Of an output only the text, its tokens and its end are filled in. Conversation, condition,
// domain and difficulty of the cells stay empty. The engine needs room for three sequences of `longest` tokens, and
// goes faster with room for the context, the item and each candidate; whatever happens, all that were opened are
// closed. kInterrupted when `cancel` is requested, between two items, during a prefill or a generation. The same tokens
// are computed in the same calls whichever items are wanted, so a run that goes on later gives the same bits.
[[nodiscard]] Result<void> run_context(engine::Engine& engine, const PreparedContext& context,
                                       const std::function<bool(const Item&)>& wanted,
                                       const std::function<Result<void>(Cell)>& done, const std::stop_token& cancel);

}  // namespace bulkhead::eval
