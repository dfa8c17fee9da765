// SPDX-License-Identifier: MIT
// A text as the tokens by which exact answers are compared: words, numbers, units, dates. Two spellings of one value
// give equal tokens.
//
//   - Words: without letter case and composition (words.h), a possessive 's dropped. Digits with letters that are no
//   unit behind or before them are
//     one word ("41a", "3rd", "b12").
//   - Numbers: thousands separators dropped (comma, apostrophe, no-break and thin space between groups of three), zeros
//   at
//     the end of decimals and the zero of "05" too; thousand, million and billion multiplied out, and k, m, mn, bn
//     behind an amount of money. A minus belongs to a number only where nothing, a space or a bracket stands before it.
//   - Digits joined by - / : . , without a space are one token ("10:30", "3-5", "1/2", "10.0.0.1"), so that a part of a
//     range, a time or a version is no number; and so are digits joined to a letter before them ("F-16"). The decimal
//     comma is not known: "12,5" is such a token.
//   - Units behind a number, with or without a space, become one name (unit_name.h): "5 km", "5km", "5 kilometers";
//   "5%",
//     "5 percent"; "$5", "5 USD"; "5 km/h", "5 km per hour".
//   - Dates become one token: "3 May 2024", "May 3rd, 2024", "2024-05-03", "3.5.2024"; the year or the day may be
//   missing.
//     "03/05/2024" stays as it is: it means two days.
//   - All other signs part tokens and are dropped.
// Not known: number words ("three"), plurals and other forms of words, digits that are not ASCII.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::measure {

struct AnswerToken {
  enum class Kind { kWord, kNumber, kJoined, kUnit, kDate };
  Kind kind = Kind::kWord;
  std::string text;       // normal form: "1234.5", "kilometre"; of a date year-month-day, 0 for what is missing
  std::size_t begin = 0;  // bytes [begin, end) of the text; an amount of money and its currency share theirs
  std::size_t end = 0;
  bool starts_word = true;  // not so within a word of a script without spaces, of which each character is a token
  bool ends_word = true;
};

// In order of place. Pure, for any thread.
[[nodiscard]] std::vector<AnswerToken> answer_tokens(std::string_view text);

}  // namespace bulkhead::measure
