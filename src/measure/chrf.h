// SPDX-License-Identifier: MIT
// chrF2 (Popovic 2015, https://aclanthology.org/W15-3049) and chrF2++ (Popovic 2017, https://aclanthology.org/W17-4770)
// as sacrebleu 2.6.0 computes them by default: n-grams of 1 to 6 characters without white space, case kept; chrF2++
// also of 1 and 2 words, with punctuation parted from them. The F score with recall weighted twice, of precision and
// recall averaged over the orders that both texts are long enough for.
//
// 0 to 100. A character is a code point; bytes that are not UTF-8 count as U+FFFD. Of several references the one with
// the best score counts. Pure functions, for any thread.
#pragma once

#include "measure/segment.h"

#include <cstddef>
#include <span>

namespace bulkhead::measure {

enum class ChrfWords : std::size_t { kNone = 0, kUpToTwo = 2 };  // chrF2, chrF2++

// Of all segments together: counts are added up, then divided.
[[nodiscard]] double corpus_chrf(std::span<const Segment> segments, ChrfWords words = ChrfWords::kNone);

[[nodiscard]] double sentence_chrf(const Segment& segment, ChrfWords words = ChrfWords::kNone);

}  // namespace bulkhead::measure
