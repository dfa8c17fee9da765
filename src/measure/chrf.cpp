// SPDX-License-Identifier: MIT
#include "measure/chrf.h"

#include "base/utf8.h"
#include "measure/ngrams.h"
#include "measure/whitespace.h"

#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::measure {
namespace {

constexpr std::size_t kCharacterOrders = 6;
constexpr double kBetaSquared = 4.0;

struct OrderCounts {
  std::size_t hypothesis = 0;
  std::size_t reference = 0;
  std::size_t shared = 0;
};

bool is_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

// One sign at the end of a word is parted from it; if there is none, one at its beginning.
std::vector<std::string> chrf_words(std::string_view text) {
  std::vector<std::string> words;
  for (const auto word : split_at_whitespace(text)) {
    if (word.size() > 1 && is_punctuation(word.back())) {
      words.emplace_back(word.substr(0, word.size() - 1));
      words.emplace_back(word.substr(word.size() - 1));
    } else if (word.size() > 1 && is_punctuation(word.front())) {
      words.emplace_back(word.substr(0, 1));
      words.emplace_back(word.substr(1));
    } else {
      words.emplace_back(word);
    }
  }
  return words;
}

// Counts of each order: characters first, then words.
std::vector<NgramCounts> ngrams_of(const std::string& raw, ChrfWords words) {
  const std::string text = to_valid_utf8(raw);
  std::string packed;
  for (const auto word : split_at_whitespace(text)) packed += word;
  std::vector<std::size_t> starts;  // of each character, and the end
  for (std::size_t at = 0; at < packed.size(); ++at)
    if ((static_cast<unsigned char>(packed[at]) & 0xC0U) != 0x80U) starts.push_back(at);
  starts.push_back(packed.size());
  std::vector<NgramCounts> counts(kCharacterOrders);
  for (std::size_t order = 1; order <= kCharacterOrders; ++order)
    for (std::size_t first = 0; first + order < starts.size(); ++first)
      ++counts[order - 1][packed.substr(starts[first], starts[first + order] - starts[first])];
  const auto list = chrf_words(text);
  for (std::size_t order = 1; order <= static_cast<std::size_t>(words); ++order)
    counts.push_back(count_word_ngrams(list, order));
  return counts;
}

double f_score(const std::vector<OrderCounts>& orders) {
  double precision = 0.0;
  double recall = 0.0;
  double used = 0.0;
  for (const auto& order : orders) {
    if (order.hypothesis == 0 || order.reference == 0) continue;
    precision += static_cast<double>(order.shared) / static_cast<double>(order.hypothesis);
    recall += static_cast<double>(order.shared) / static_cast<double>(order.reference);
    used += 1.0;
  }
  if (precision + recall <= 0.0) return 0.0;
  precision /= used;
  recall /= used;
  return 100.0 * ((1.0 + kBetaSquared) * precision * recall) / ((kBetaSquared * precision) + recall);
}

// Against the reference with the best score; of equal ones the first.
std::vector<OrderCounts> count(const Segment& segment, ChrfWords words) {
  const auto hypothesis = ngrams_of(segment.hypothesis, words);
  std::vector<OrderCounts> best;
  double best_score = -1.0;
  const auto compare = [&](const std::string& reference) {
    std::vector<OrderCounts> orders;
    const auto theirs = ngrams_of(reference, words);
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      // An order for which the reference is too short counts on neither side.
      orders.push_back(
          {theirs[i].empty() ? 0 : total(hypothesis[i]), total(theirs[i]), overlap(hypothesis[i], theirs[i])});
    }
    if (const double score = f_score(orders); score > best_score) {
      best_score = score;
      best = std::move(orders);
    }
  };
  for (const auto& reference : segment.references) compare(reference);
  if (segment.references.empty()) compare({});
  return best;
}

}  // namespace

double corpus_chrf(std::span<const Segment> segments, ChrfWords words) {
  std::vector<OrderCounts> sum(kCharacterOrders + static_cast<std::size_t>(words));
  for (const auto& segment : segments) {
    const auto orders = count(segment, words);
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i].hypothesis += orders[i].hypothesis;
      sum[i].reference += orders[i].reference;
      sum[i].shared += orders[i].shared;
    }
  }
  return f_score(sum);
}

double sentence_chrf(const Segment& segment, ChrfWords words) {
  return f_score(count(segment, words));
}

}  // namespace bulkhead::measure
