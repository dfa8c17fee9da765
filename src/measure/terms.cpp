// SPDX-License-Identifier: MIT
#include "measure/terms.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>

namespace bulkhead::measure {
namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 1;
};

// Decodes the character at `at`. An invalid byte stands for itself, one byte long, and is no part of a word.
Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(at);
  std::size_t length = 1;
  std::uint32_t code = first;
  if (first >= 0xF0U && first < 0xF8U) {
    length = 4;
    code = first & 0x07U;
  } else if (first >= 0xE0U && first < 0xF0U) {
    length = 3;
    code = first & 0x0FU;
  } else if (first >= 0xC0U && first < 0xE0U) {
    length = 2;
    code = first & 0x1FU;
  } else if (first >= 0x80U) {
    return {0xFFFDU, 1};
  }
  if (at + length > text.size()) return {0xFFFDU, 1};
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return {0xFFFDU, 1};
    code = (code << 6U) | (byte(at + i) & 0x3FU);
  }
  return {code, length};
}

bool is_ascii_word(std::uint32_t code) {
  return (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
}

// Outside ASCII everything is a letter but the blocks of punctuation, symbols and pictures.
bool is_word(std::uint32_t code) {
  if (code < 0x80U) return is_ascii_word(code);
  if (code < 0xC0U) return code == 0xAAU || code == 0xAD || code == 0xB5U || code == 0xBAU;  // U+00AD: soft hyphen
  if (code == 0xD7U || code == 0xF7U) return false;
  if (code >= 0x2000U && code <= 0x2BFFU) return false;
  if (code >= 0x3000U && code <= 0x303FU) return false;
  if (code >= 0xFE00U && code <= 0xFE6FU) return false;
  if (code >= 0xFF00U && code <= 0xFF0FU) return false;
  if (code == 0xFEFFU || code == 0xFFFDU) return false;
  return code < 0x1F000U || code > 0x1FAFFU;
}

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

struct Word {
  std::string folded;
  std::string gap;  // normal form of what stands between the word before and this one
  std::size_t begin = 0;
  std::size_t end = 0;
};

// "C++" and "C#": these signs belong to the word when they end it.
std::size_t trailing_signs(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && (text[end] == '+' || text[end] == '#')) ++end;
  return end < text.size() && is_word(character_at(text, end).code) ? at : end;
}

std::vector<Word> words_of(std::string_view text) {
  std::vector<Word> words;
  for (std::size_t at = 0; at < text.size();) {
    auto character = character_at(text, at);
    if (!is_word(character.code)) {
      at += character.bytes;
      continue;
    }
    Word word;
    word.begin = at;
    while (at < text.size() && is_word((character = character_at(text, at)).code)) {
      const char byte = text[at];
      if (character.bytes == 1) {
        word.folded += byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
      } else if (character.code != 0xADU) {
        word.folded += text.substr(at, character.bytes);
      }
      at += character.bytes;
    }
    word.end = trailing_signs(text, at);
    word.folded += text.substr(at, word.end - at);
    at = word.end;
    if (!words.empty()) word.gap = normal_gap(text.substr(words.back().end, word.begin - words.back().end));
    if (!word.folded.empty()) words.push_back(std::move(word));
  }
  return words;
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

bool same_word(std::string_view a, std::string_view b, bool last) {
  return a == b || (last && (is_plural_of(a, b) || is_plural_of(b, a)));
}

bool matches_at(const std::vector<Word>& text, std::size_t at, const std::vector<Word>& term) {
  if (at + term.size() > text.size()) return false;
  for (std::size_t i = 0; i < term.size(); ++i) {
    if (i > 0 && text[at + i].gap != term[i].gap) return false;
    if (!same_word(text[at + i].folded, term[i].folded, i + 1 == term.size())) return false;
  }
  return true;
}

struct Candidate {
  std::size_t first = 0;  // word
  std::size_t words = 0;
  std::size_t bytes = 0;
  std::size_t term = 0;  // index
};

// The hits as (index of the term, begin, end).
std::vector<std::tuple<std::size_t, std::size_t, std::size_t>> find_indexed(std::string_view text,
                                                                            std::span<const std::string> terms) {
  const auto words = words_of(text);
  std::vector<Candidate> candidates;
  for (std::size_t t = 0; t < terms.size(); ++t) {
    const auto term = words_of(terms[t]);
    for (std::size_t at = 0; !term.empty() && at < words.size(); ++at) {
      if (!matches_at(words, at, term)) continue;
      candidates.push_back({at, term.size(), words[at + term.size() - 1].end - words[at].begin, t});
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(b.words, b.bytes, a.first, a.term) < std::tie(a.words, a.bytes, b.first, b.term);
  });
  std::vector<bool> taken(words.size(), false);
  std::vector<std::tuple<std::size_t, std::size_t, std::size_t>> hits;
  for (const auto& candidate : candidates) {
    const auto begin = taken.begin() + static_cast<std::ptrdiff_t>(candidate.first);
    const auto end = begin + static_cast<std::ptrdiff_t>(candidate.words);
    if (std::find(begin, end, true) != end) continue;
    std::fill(begin, end, true);
    hits.emplace_back(candidate.term, words[candidate.first].begin, words[candidate.first + candidate.words - 1].end);
  }
  std::sort(hits.begin(), hits.end(), [](const auto& a, const auto& b) { return std::get<1>(a) < std::get<1>(b); });
  return hits;
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
