// SPDX-License-Identifier: MIT
// BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040) as sacrebleu 2.6.0 computes it by default: tokens by
// mteval-v13a, case kept, orders 1 to 4, exponential smoothing (an order without a match gets half the precision of the
// one without a match before it).
//
// Made for corpora. For one sentence it is coarse: use chrF. Pure functions, for any thread.
#pragma once

#include "measure/segment.h"

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::measure {

struct Bleu {
  double score = 0.0;                  // 0 to 100; 0 when nothing matches
  std::array<double, 4> precisions{};  // percent, of orders 1 to 4, smoothed
  double brevity_penalty = 0.0;        // 0 to 1
  std::size_t hypothesis_tokens = 0;
  std::size_t reference_tokens = 0;  // of each segment's reference that is closest in length
};

// Of all segments together: counts are added up, then divided. An order that no hypothesis is long enough for makes the
// score 0.
[[nodiscard]] Bleu corpus_bleu(std::span<const Segment> segments);

// Of one segment, with the order limited to its length ("effective order"), as sacrebleu.sentence_bleu does it.
[[nodiscard]] Bleu sentence_bleu(const Segment& segment);

// The tokens of mteval-v13a: punctuation apart, but for points and commas between digits.
[[nodiscard]] std::vector<std::string> tokenize_13a(std::string_view text);

}  // namespace bulkhead::measure
