// SPDX-License-Identifier: MIT
#include "measure/repetition.h"

#include "measure/ngrams.h"
#include "measure/words.h"

#include <algorithm>
#include <string>
#include <vector>

namespace bulkhead::measure {

std::optional<double> distinct_ngrams(std::string_view text, std::size_t order) {
  const auto words = words_as_written(text);
  if (order == 0 || words.size() < order) return std::nullopt;
  const auto counts = count_word_ngrams(std::vector<std::string>(words.begin(), words.end()), order);
  return static_cast<double>(counts.size()) / static_cast<double>(words.size() - order + 1);
}

RepeatedSpan longest_repeated_span(std::string_view text) {
  const auto words = words_as_written(text);
  // common[j]: how many words before and with word i equal those before and with the later word j.
  std::vector<std::size_t> common(words.size() + 1, 0);
  std::size_t longest = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    for (std::size_t j = words.size(); j-- > i + 1;) {
      common[j + 1] = words[i] == words[j] ? common[j] + 1 : 0;
      const std::size_t apart = std::min(common[j + 1], j - i);  // more would overlap
      if (apart > longest) {
        longest = apart;
        last = i;
      }
    }
  }
  if (longest == 0) return {};
  const char* begin = words[last + 1 - longest].data();
  const char* end = words[last].data() + words[last].size();
  return {longest, {begin, static_cast<std::size_t>(end - begin)}};
}

}  // namespace bulkhead::measure
