// SPDX-License-Identifier: MIT
// ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004, https://aclanthology.org/W04-1013) as rouge-score 0.1.2 computes them without
// a stemmer. Words are stretches of a-z and 0-9 after lower-casing: a text in another script has none and scores 0.
// Not here: the Porter stemmer (NLTK's dialect of it), ROUGE-Lsum.
#pragma once

#include <string_view>

namespace bulkhead::measure {

// All 0 when one of the texts has no word.
struct RougeScore {
  double precision = 0.0;  // share of the text's n-grams (or words) that the reference has
  double recall = 0.0;     // share of the reference's
  double f1 = 0.0;
};

struct Rouge {
  RougeScore rouge1;   // words
  RougeScore rouge2;   // pairs of neighbouring words
  RougeScore rouge_l;  // the longest common subsequence of words
};

// Time and memory grow with the product, and with the sum, of the numbers of words. Pure, for any thread.
[[nodiscard]] Rouge rouge(std::string_view text, std::string_view reference);

}  // namespace bulkhead::measure
