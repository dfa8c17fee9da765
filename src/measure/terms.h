// SPDX-License-Identifier: MIT
// Terminology in a text: which words that mark a topic occur, and where.
//
// What counts as an occurrence of a term:
//   - whole words only: "cache" is not in "cached". Where a script puts no spaces between words, a dictionary says
//   where
//     they end (words.h): Kyoto is not in "Tokyo-to" though its two characters are;
//   - letter case is ignored in all scripts, and so is how a character is composed (NFKC: NFD, full width, ligatures);
//   - the last word may differ by its plural: query / queries, index / indexes, client / clients (stems of 3 letters or
//     more), and in Korean have particles behind it;
//   - between the words of a phrase, any white space without an empty line and a single hyphen (also U+2010, U+2011,
//     U+2013) or underscore mean the same, and Markdown emphasis (* and `) is looked through; other punctuation must be
//     the same ("TCP/IP", "Node.js").
// Not known: word stems beyond the plural, synonyms, vowel marks that are left out, compounds written as one word.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::measure {

// One occurrence: bytes [begin, end) of the text, always whole UTF-8 characters.
struct TermHit {
  std::string term;  // as written in the list of terms
  std::size_t begin = 0;
  std::size_t end = 0;
};

// All occurrences in order of place. Hits never overlap: the one with more words wins, then the one with more bytes,
// then the one that begins earlier, then the term that stands earlier in `terms`. Terms without a letter or digit are
// never found.
[[nodiscard]] std::vector<TermHit> find_terms(std::string_view text, std::span<const std::string> terms);

// The terms that mark one cluster's topic.
struct ClusterTerms {
  std::string cluster;
  std::vector<std::string> terms;
};

struct ForeignTerm {
  std::string term;
  std::string cluster;  // whose term it is; the first one that has it
  std::size_t count = 0;
};

struct TermCounts {
  std::size_t own = 0;                     // occurrences
  std::size_t foreign = 0;                 // occurrences, the sum over foreign_terms
  std::vector<ForeignTerm> foreign_terms;  // most frequent first, then by term
  std::string obstacle;                    // why nothing can be counted; then the others are 0 and mean nothing
};

// Counts an output's own terms and those of clusters whose topic it should not know. A term that is also an own term is
// not foreign. Not countable is a text in a script whose words nothing here can part, one that shares no script with
// the own or with the foreign terms, and any text for a term without a letter or digit: 0 would be a false all-clear.
// Own and foreign terms compete for a place as in find_terms: "market segment" is not also "market".
[[nodiscard]] TermCounts count_terms(std::string_view text, std::span<const std::string> own_terms,
                                     std::span<const ClusterTerms> foreign);

}  // namespace bulkhead::measure
