// SPDX-License-Identifier: MIT
#include "engines/llama/prompt_lookup.h"

#include <algorithm>
#include <cmath>

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

// 1 + c + c^2 + ... + c^length: the token drawn in any case and those accepted before it.
double expected_tokens(const Draft& draft, std::uint32_t length) {
  double sum = 1;
  double all_right = 1;
  for (std::uint32_t i = 0; i < std::min<std::size_t>(length, draft.tokens.size()); ++i) {
    all_right *= draft.chance;
    sum += all_right;
  }
  return sum;
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

std::uint32_t best_draft_length(std::span<const Draft> drafts, std::uint32_t most, const StepTimes& times) {
  const auto sequences = static_cast<std::uint32_t>(drafts.size());
  if (sequences == 0 || sequences * 2 > kCheapColumns) return 0;
  std::uint32_t best = 0;
  double best_rate = 0;
  for (std::uint32_t length = 0; length <= most && sequences * (1 + length) <= kCheapColumns; ++length) {
    double tokens = 0;
    for (const auto& draft : drafts) tokens += expected_tokens(draft, length);
    const double rate = tokens / times.expected(sequences * (1 + length)) / (length == 0 ? 1 : kMargin);
    if (rate <= best_rate) continue;
    best_rate = rate;
    best = length;
  }
  return best;
}

}  // namespace bulkhead::engines::llama
