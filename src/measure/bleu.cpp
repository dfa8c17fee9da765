// SPDX-License-Identifier: MIT
#include "measure/bleu.h"

#include "measure/ngrams.h"
#include "measure/whitespace.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

namespace bulkhead::measure {
namespace {

constexpr std::size_t kOrders = 4;
constexpr double kLogOfZero = -9999999999.0;  // sacrebleu's

struct Counts {
  std::array<std::size_t, kOrders> correct{};
  std::array<std::size_t, kOrders> total{};
  std::size_t hypothesis = 0;
  std::size_t reference = 0;
};

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

bool is_decimal_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_point(char c) {
  return c == '.' || c == ',';
}

// ASCII punctuation but for ' , - and point; and the space.
bool is_separated(char c) {
  return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') ||
         (c >= ':' && c <= '@') || c == '/';
}

// Replaces neighbours (a, b) for which `matches` by `before` + a + " " + b + `after`, from left to right without
// overlap. Works on bytes: what it looks for is ASCII, and no byte of another character is.
template <typename Matches>
std::string parted(const std::string& line, Matches matches, std::string_view before, std::string_view after) {
  std::string out;
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (at + 1 < line.size() && matches(line[at], line[at + 1])) {
      out.append(before).append(1, line[at]).append(" ").append(1, line[at + 1]).append(after);
      ++at;
    } else {
      out += line[at];
    }
  }
  return out;
}

Counts count(const Segment& segment) {
  Counts counts;
  const auto hypothesis = tokenize_13a(segment.hypothesis);
  counts.hypothesis = hypothesis.size();
  std::vector<std::vector<std::string>> references;
  references.reserve(segment.references.size());
  for (const auto& reference : segment.references) references.push_back(tokenize_13a(reference));
  if (references.empty()) references.emplace_back();
  const auto closer = [&](const auto& a, const auto& b) {
    const auto distance = [&](const auto& tokens) {
      return std::max(tokens.size(), hypothesis.size()) - std::min(tokens.size(), hypothesis.size());
    };
    return std::pair(distance(a), a.size()) < std::pair(distance(b), b.size());
  };
  counts.reference = std::ranges::min_element(references, closer)->size();
  for (std::size_t order = 1; order <= kOrders; ++order) {
    NgramCounts most;
    for (const auto& reference : references)
      for (const auto& [ngram, times] : count_word_ngrams(reference, order)) most[ngram] = std::max(most[ngram], times);
    const auto ours = count_word_ngrams(hypothesis, order);
    counts.correct.at(order - 1) = overlap(ours, most);
    counts.total.at(order - 1) = total(ours);
  }
  return counts;
}

Bleu score(const Counts& counts, bool effective_order) {
  Bleu bleu;
  bleu.hypothesis_tokens = counts.hypothesis;
  bleu.reference_tokens = counts.reference;
  const auto ours = static_cast<double>(counts.hypothesis);
  const auto theirs = static_cast<double>(counts.reference);
  bleu.brevity_penalty = 1.0;
  if (ours < theirs) bleu.brevity_penalty = ours > 0.0 ? std::exp(1.0 - (theirs / ours)) : 0.0;
  if (std::ranges::all_of(counts.correct, [](std::size_t n) { return n == 0; })) return bleu;
  double smoothing = 1.0;
  std::size_t orders = effective_order ? 0 : kOrders;
  for (std::size_t i = 0; i < kOrders && counts.total.at(i) > 0; ++i) {
    if (effective_order) orders = i + 1;
    const auto of = static_cast<double>(counts.total.at(i));
    if (counts.correct.at(i) == 0) smoothing *= 2.0;
    bleu.precisions.at(i) =
        counts.correct.at(i) == 0 ? 100.0 / (smoothing * of) : 100.0 * static_cast<double>(counts.correct.at(i)) / of;
  }
  double logs = 0.0;
  for (std::size_t i = 0; i < orders; ++i)
    logs += bleu.precisions.at(i) > 0.0 ? std::log(bleu.precisions.at(i)) : kLogOfZero;
  bleu.score = bleu.brevity_penalty * std::exp(logs / static_cast<double>(orders));
  return bleu;
}

}  // namespace

std::vector<std::string> tokenize_13a(std::string_view text) {
  std::string line(without_trailing_whitespace(text));
  for (const auto& [what, by] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"<skipped>", ""}, {"-\n", ""}, {"\n", " "}, {"&quot;", "\""}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}})
    line = replaced(std::move(line), what, by);
  std::string apart = " ";
  for (const char c : line) {
    if (is_separated(c)) {
      apart.append(" ").append(1, c).append(" ");
    } else {
      apart += c;
    }
  }
  apart += ' ';
  apart = parted(
      apart, [](char a, char b) { return !is_decimal_digit(a) && is_point(b); }, "", " ");
  apart = parted(
      apart, [](char a, char b) { return is_point(a) && !is_decimal_digit(b); }, " ", "");
  apart = parted(
      apart, [](char a, char b) { return is_decimal_digit(a) && b == '-'; }, "", " ");
  const auto words = split_at_whitespace(apart);
  return {words.begin(), words.end()};
}

Bleu corpus_bleu(std::span<const Segment> segments) {
  Counts sum;
  for (const auto& segment : segments) {
    const Counts counts = count(segment);
    sum.hypothesis += counts.hypothesis;
    sum.reference += counts.reference;
    for (std::size_t i = 0; i < kOrders; ++i) {
      sum.correct.at(i) += counts.correct.at(i);
      sum.total.at(i) += counts.total.at(i);
    }
  }
  return score(sum, false);
}

Bleu sentence_bleu(const Segment& segment) {
  return score(count(segment), true);
}

}  // namespace bulkhead::measure
