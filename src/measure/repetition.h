// SPDX-License-Identifier: MIT
// How much a text repeats itself. Words are those of words_as_written() (words.h). Pure, for any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace bulkhead::measure {

// distinct-n (Li et al. 2016, arXiv 1510.03055): different n-grams of words / all of them, above 0 to 1. None when the
// text has fewer than `order` words, or for order 0.
[[nodiscard]] std::optional<double> distinct_ngrams(std::string_view text, std::size_t order);

struct RepeatedSpan {
  std::size_t words = 0;  // 0: no word occurs twice
  std::string_view text;  // its first occurrence, a view into the text given
};

// The longest span of words that occurs twice without overlap; of equal ones the one that ends first. Time grows with
// the square of the number of words.
[[nodiscard]] RepeatedSpan longest_repeated_span(std::string_view text);

}  // namespace bulkhead::measure
