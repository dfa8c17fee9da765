// SPDX-License-Identifier: MIT
// The words of a text in any script, in a form in which equal words are equal: by ICU (docs/decisions).
//
// A word is letters, digits and marks one behind the other. Chinese, Japanese, Thai, Lao, Khmer and Burmese put no
// spaces between words: there a dictionary says where a word ends. A change between such a script, Hangul and any other
// ends a word too ("API" in front of a Japanese particle).
//
// Pure functions, for any thread.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::measure {

// A word; in scripts without spaces one character of it, so that what is looked for may be cut otherwise than the text.
struct Word {
  std::string normal;     // NFKC, case folded, without characters that do not show, such as soft hyphens; never empty
  std::size_t begin = 0;  // bytes [begin, end) of the text, whole characters
  std::size_t end = 0;    // ASCII signs behind the word are no part of it
  bool starts_word = true;
  bool ends_word = true;
  bool without_spaces = false;  // of a script without spaces: one character
  bool is_hangul = false;       // particles may be written behind the word without a space
};

struct Words {
  std::vector<Word> list;         // in order of place
  std::set<std::string> scripts;  // of its letters, by ICU's short names ("Latn"); Han stands for kana too
  std::string obstacle;           // why words cannot be told apart here; empty: they can
};

// Bytes that are not UTF-8 part words.
[[nodiscard]] Words words_of(std::string_view text);

// `word` as Word::normal has it: equal for what differs by letter case or composition only. ASCII becomes lower case.
[[nodiscard]] std::string normal_form(std::string_view word);

// Whether `text`, in normal form, is what is written behind a Korean noun without a space: particles, the plural, forms
// of "to be". Empty text is.
[[nodiscard]] bool is_korean_ending(std::string_view text);

// What white space parts, and in scripts without spaces the words of the dictionary, with their punctuation. For counts
// of words. Views into `text`; a text in a script with spaces gives just what split_at_whitespace() gives.
[[nodiscard]] std::vector<std::string_view> words_as_written(std::string_view text);

}  // namespace bulkhead::measure
