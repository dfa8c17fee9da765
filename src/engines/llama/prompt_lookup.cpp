// SPDX-License-Identifier: MIT
#include "engines/llama/prompt_lookup.h"

#include <algorithm>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

// A draft must promise this much, so that a wrong estimate costs little.
constexpr double kMargin = 1.02;
// Old observations fade: a text that stops quoting is noticed within some tens of tokens.
constexpr double kMemory = 0.97;

// Length of the common end of history[0, end) and the whole history, at most `longest`.
std::size_t match_length(std::span<const Token> history, std::size_t end, std::size_t longest) {
  std::size_t length = 0;
  while (length < longest && length < end && history[end - 1 - length] == history[history.size() - 1 - length])
    ++length;
  return length;
}

}  // namespace

Draft PromptLookup::look_up(std::span<const Token> history, std::uint32_t most) const {
  std::size_t best_length = 0;
  std::size_t best_end = 0;
  for (std::size_t end = history.size(); end-- > 1;) {
    const auto length = match_length(history, end, kLongest);
    if (length <= best_length) continue;
    best_length = length;
    best_end = end;
    if (length == kLongest) break;
  }
  Draft draft;
  if (best_length < kShortest || most == 0) return draft;
  const auto after = history.subspan(best_end);
  const auto taken = after.first(std::min<std::size_t>(after.size(), most));
  draft.tokens.assign(taken.begin(), taken.end());
  while (draft.match_class + 1 < kClassBounds.size() && best_length >= kClassBounds[draft.match_class + 1])
    ++draft.match_class;
  const auto& record = records_[draft.match_class];
  draft.chance = record.right / (record.right + record.wrong);
  return draft;
}

void PromptLookup::learn(const Draft& draft, std::span<const Token> came) {
  auto& record = records_[draft.match_class];
  for (std::size_t i = 0; i < std::min(draft.tokens.size(), came.size()); ++i) {
    record.right *= kMemory;
    record.wrong *= kMemory;
    const bool right = draft.tokens[i] == came[i];
    (right ? record.right : record.wrong) += 1;
    if (!right) break;
  }
}

std::vector<std::uint32_t> draft_lengths(std::span<const Draft> drafts, std::span<const std::uint32_t> most,
                                         const StepTimes& times) {
  std::vector<std::uint32_t> lengths(drafts.size(), 0);
  std::vector<std::uint32_t> best = lengths;
  // The chance that all tokens are right up to the next one of each draft.
  std::vector<double> next;
  for (const auto& draft : drafts) next.push_back(draft.chance);
  auto columns = static_cast<std::uint32_t>(drafts.size());
  if (columns == 0 || columns >= kCheapColumns) return best;
  auto tokens = static_cast<double>(columns);
  double best_rate = tokens / times.expected(columns);
  const auto is_left = [&](std::size_t i) {
    return lengths[i] < std::min<std::size_t>(drafts[i].tokens.size(), most[i]);
  };
  while (columns < kCheapColumns) {
    std::size_t likeliest = drafts.size();
    for (std::size_t i = 0; i < drafts.size(); ++i) {
      if (is_left(i) && (likeliest == drafts.size() || next[i] > next[likeliest])) likeliest = i;
    }
    if (likeliest == drafts.size()) break;
    ++lengths[likeliest];
    tokens += next[likeliest];
    next[likeliest] *= drafts[likeliest].chance;
    const double rate = tokens / times.expected(++columns) / kMargin;
    if (rate <= best_rate) continue;
    best_rate = rate;
    best = lengths;
  }
  return best;
}

}  // namespace bulkhead::engines::llama
