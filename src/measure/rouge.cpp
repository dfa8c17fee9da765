// SPDX-License-Identifier: MIT
#include "measure/rouge.h"

#include "measure/ngrams.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::measure {
namespace {

// Outside ASCII, two characters have an ASCII letter in their lower case.
constexpr std::string_view kKelvinSign = "\xE2\x84\xAA";
constexpr std::string_view kDottedCapitalI = "\xC4\xB0";  // lower: i, and a dot above that ends the word

std::vector<std::string> rouge_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(std::exchange(word, {}));
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c >= 'A' && c <= 'Z') {
      word += static_cast<char>(c - 'A' + 'a');
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      word += c;
    } else if (text.substr(at).starts_with(kKelvinSign)) {
      word += 'k';
      at += kKelvinSign.size() - 1;
    } else {
      if (text.substr(at).starts_with(kDottedCapitalI)) word += 'i';
      finish();
    }
  }
  finish();
  return words;
}

RougeScore score(std::size_t shared, std::size_t text, std::size_t reference) {
  RougeScore score;
  const auto hits = static_cast<double>(shared);
  score.precision = hits / static_cast<double>(std::max<std::size_t>(text, 1));
  score.recall = hits / static_cast<double>(std::max<std::size_t>(reference, 1));
  const double sum = score.precision + score.recall;
  if (sum > 0.0) score.f1 = 2.0 * score.precision * score.recall / sum;
  return score;
}

RougeScore score_ngrams(const std::vector<std::string>& text, const std::vector<std::string>& reference,
                        std::size_t order) {
  const auto ours = count_word_ngrams(text, order);
  const auto theirs = count_word_ngrams(reference, order);
  return score(overlap(ours, theirs), total(ours), total(theirs));
}

std::size_t longest_common_subsequence(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::size_t> row(b.size() + 1, 0);  // of the table of prefixes of a and b
  for (const auto& word : a) {
    std::size_t diagonal = 0;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = word == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

Rouge rouge(std::string_view text, std::string_view reference) {
  const auto ours = rouge_words(text);
  const auto theirs = rouge_words(reference);
  return {score_ngrams(ours, theirs, 1), score_ngrams(ours, theirs, 2),
          score(longest_common_subsequence(ours, theirs), ours.size(), theirs.size())};
}

}  // namespace bulkhead::measure
