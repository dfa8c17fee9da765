// SPDX-License-Identifier: MIT
#include "measure/ngrams.h"

#include <algorithm>

namespace bulkhead::measure {

NgramCounts count_word_ngrams(std::span<const std::string> words, std::size_t order) {
  NgramCounts counts;
  for (std::size_t first = 0; first + order <= words.size(); ++first) {
    std::string ngram = words[first];
    for (std::size_t i = 1; i < order; ++i) ngram.append(" ").append(words[first + i]);
    ++counts[ngram];
  }
  return counts;
}

std::size_t total(const NgramCounts& counts) {
  std::size_t sum = 0;
  for (const auto& [ngram, count] : counts) sum += count;
  return sum;
}

std::size_t overlap(const NgramCounts& a, const NgramCounts& b) {
  std::size_t shared = 0;
  for (const auto& [ngram, count] : a) {
    const auto other = b.find(ngram);
    if (other != b.end()) shared += std::min(count, other->second);
  }
  return shared;
}

}  // namespace bulkhead::measure
