// SPDX-License-Identifier: MIT
#include "measure/terms.h"

#include "measure/utf8_character.h"
#include "measure/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>

namespace bulkhead::measure {
namespace {

bool is_hyphen(std::uint32_t code) {
  return code == '-' || code == '_' || code == 0x2010U || code == 0x2011U || code == 0x2013U;
}

bool is_space(std::uint32_t code) {
  return code == ' ' || (code >= '\t' && code <= '\r') || code == 0xA0U || code == 0x202FU || code == 0x3000U ||
         (code >= 0x2000U && code <= 0x200AU);
}

// What stands between two words, in a form in which equal strings mean the same: " " for what joins a phrase.
std::string normal_gap(std::string_view gap) {
  std::string kept;
  std::size_t hyphens = 0;
  std::size_t spaces = 0;
  std::size_t newlines = 0;
  std::size_t others = 0;
  bool emphasis = false;
  for (std::size_t at = 0; at < gap.size();) {
    const auto [code, bytes] = character_at(gap, at);
    if (is_hyphen(code)) {
      ++hyphens;
    } else if (is_space(code)) {
      ++spaces;
      if (code == '\n') ++newlines;
    } else if (code == '*' || code == '`') {
      emphasis = true;
    } else {
      ++others;
    }
    if (code == 0x2019U) {
      kept += '\'';
    } else {
      kept += gap.substr(at, bytes);
    }
    at += bytes;
  }
  // A star after a line break is a list item, not emphasis.
  const bool spaced = spaces > 0 && hyphens == 0 && newlines < 2 && (!emphasis || newlines == 0);
  const bool hyphened = hyphens == 1 && spaces == 0;
  return others == 0 && (spaced || hyphened) ? " " : kept;
}

struct PlacedWord {
  Word word;
  std::string gap;  // normal form of what stands between the word before and this one
};

// "C++" and "C#": these signs belong to the word when they end it.
std::size_t trailing_signs(std::string_view text, const Word& word, std::size_t next_word) {
  std::size_t end = word.end;
  while (end < text.size() && (text[end] == '+' || text[end] == '#')) ++end;
  return end == next_word ? word.end : end;
}

std::vector<PlacedWord> placed_words(std::string_view text, std::vector<Word> words) {
  std::vector<PlacedWord> placed;
  for (std::size_t i = 0; i < words.size(); ++i) {
    PlacedWord one{std::move(words[i]), {}};
    if (!one.word.without_spaces) {
      const auto end = trailing_signs(text, one.word, i + 1 < words.size() ? words[i + 1].begin : std::string::npos);
      one.word.normal += text.substr(one.word.end, end - one.word.end);
      one.word.end = end;
    }
    if (i > 0) {
      const auto before = placed.back().word.end;
      one.gap = normal_gap(text.substr(before, one.word.begin - before));
    }
    placed.push_back(std::move(one));
  }
  return placed;
}

// Whether `plural` is `singular` with a plural ending.
bool is_plural_of(std::string_view plural, std::string_view singular) {
  if (singular.size() < 3 || plural.size() <= singular.size()) return false;
  const std::string_view stem = singular.substr(0, singular.size() - 1);
  if (singular.ends_with('y') && plural.size() == stem.size() + 3 && plural.starts_with(stem)) {
    return plural.ends_with("ies");
  }
  if (!plural.starts_with(singular)) return false;
  const std::string_view ending = plural.substr(singular.size());
  const bool hisses = singular.ends_with('s') || singular.ends_with('x') || singular.ends_with('z') ||
                      singular.ends_with("ch") || singular.ends_with("sh");
  return hisses ? ending == "es" : ending == "s";
}

bool same_word(const Word& text, const Word& term, bool last) {
  if (text.normal == term.normal) return true;
  if (!last || text.without_spaces || term.without_spaces) return false;
  if (text.is_hangul && text.normal.starts_with(term.normal)) {
    return is_korean_ending(std::string_view(text.normal).substr(term.normal.size()));
  }
  return is_plural_of(text.normal, term.normal) || is_plural_of(term.normal, text.normal);
}

// Where a dictionary parts the words of the text, a term begins and ends with a word.
bool matches_at(const std::vector<PlacedWord>& text, std::size_t at, const std::vector<PlacedWord>& term) {
  if (at + term.size() > text.size()) return false;
  if (!text[at].word.starts_word || !text[at + term.size() - 1].word.ends_word) return false;
  for (std::size_t i = 0; i < term.size(); ++i) {
    if (i > 0 && text[at + i].gap != term[i].gap) return false;
    if (!same_word(text[at + i].word, term[i].word, i + 1 == term.size())) return false;
  }
  return true;
}

struct FoundTerm {
  std::size_t first = 0;  // word
  std::size_t words = 0;
  std::size_t bytes = 0;
  std::size_t term = 0;  // index
};

// The hits as (index of the term, begin, end).
std::vector<std::tuple<std::size_t, std::size_t, std::size_t>> find_indexed(std::string_view text,
                                                                            std::span<const std::string> terms) {
  const auto words = placed_words(text, words_of(text).list);
  std::vector<FoundTerm> candidates;
  for (std::size_t t = 0; t < terms.size(); ++t) {
    const auto term = placed_words(terms[t], words_of(terms[t]).list);
    for (std::size_t at = 0; !term.empty() && at < words.size(); ++at) {
      if (!matches_at(words, at, term)) continue;
      candidates.push_back({at, term.size(), words[at + term.size() - 1].word.end - words[at].word.begin, t});
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(), [](const FoundTerm& a, const FoundTerm& b) {
    return std::tie(b.words, b.bytes, a.first, a.term) < std::tie(a.words, a.bytes, b.first, b.term);
  });
  std::vector<bool> taken(words.size(), false);
  std::vector<std::tuple<std::size_t, std::size_t, std::size_t>> hits;
  for (const auto& candidate : candidates) {
    const auto begin = taken.begin() + static_cast<std::ptrdiff_t>(candidate.first);
    const auto end = begin + static_cast<std::ptrdiff_t>(candidate.words);
    if (std::find(begin, end, true) != end) continue;
    std::fill(begin, end, true);
    hits.emplace_back(candidate.term, words[candidate.first].word.begin,
                      words[candidate.first + candidate.words - 1].word.end);
  }
  std::sort(hits.begin(), hits.end(), [](const auto& a, const auto& b) { return std::get<1>(a) < std::get<1>(b); });
  return hits;
}

// Why `terms` cannot be counted in a text of these words; empty: they can.
std::string obstacle_of(const Words& text, std::span<const std::string> terms) {
  if (!text.obstacle.empty()) return text.obstacle;
  bool shares_script = text.scripts.empty();
  for (const auto& term : terms) {
    const auto words = words_of(term);
    if (words.list.empty()) return fmt::format("the term \"{}\" has no letter and no digit", term);
    if (!words.obstacle.empty()) return words.obstacle;
    const auto in_text = [&](const std::string& script) { return text.scripts.contains(script); };
    shares_script = shares_script || words.scripts.empty() || std::ranges::any_of(words.scripts, in_text);
  }
  return shares_script || terms.empty() ? "" : "the text is in another script than the terms";
}

}  // namespace

std::vector<TermHit> find_terms(std::string_view text, std::span<const std::string> terms) {
  std::vector<TermHit> hits;
  for (const auto& [term, begin, end] : find_indexed(text, terms)) hits.push_back({terms[term], begin, end});
  return hits;
}

TermCounts count_terms(std::string_view text, std::span<const std::string> own_terms,
                       std::span<const ClusterTerms> foreign) {
  // Own terms come first, so that they win a tie.
  std::vector<std::string> terms(own_terms.begin(), own_terms.end());
  std::vector<const ClusterTerms*> owner;
  for (const auto& cluster : foreign) {
    terms.insert(terms.end(), cluster.terms.begin(), cluster.terms.end());
    owner.insert(owner.end(), cluster.terms.size(), &cluster);
  }
  TermCounts counts;
  const auto words = words_of(text);
  counts.obstacle = obstacle_of(words, own_terms);
  if (counts.obstacle.empty()) counts.obstacle = obstacle_of(words, std::span(terms).subspan(own_terms.size()));
  if (!counts.obstacle.empty()) return counts;
  std::map<std::size_t, std::size_t> by_term;
  for (const auto& [term, begin, end] : find_indexed(text, terms)) {
    if (term < own_terms.size()) {
      ++counts.own;
    } else {
      ++counts.foreign;
      ++by_term[term];
    }
  }
  for (const auto& [term, count] : by_term) {
    counts.foreign_terms.push_back({terms[term], owner[term - own_terms.size()]->cluster, count});
  }
  std::sort(counts.foreign_terms.begin(), counts.foreign_terms.end(), [](const ForeignTerm& a, const ForeignTerm& b) {
    return std::tie(b.count, a.term, a.cluster) < std::tie(a.count, b.term, b.cluster);
  });
  return counts;
}

}  // namespace bulkhead::measure
