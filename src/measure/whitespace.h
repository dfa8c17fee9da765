// SPDX-License-Identifier: MIT
// White space as Python's str.split() sees it (Unicode's White_Space and U+001C to U+001F), since the text measures are
// defined by programs in Python.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::measure {

// The words of `text`: the longest stretches without white space, in order. Views into `text`; bytes that are not UTF-8
// are parts of words.
[[nodiscard]] std::vector<std::string_view> split_at_whitespace(std::string_view text);

// `text` without the white space at its end. A view into it.
[[nodiscard]] std::string_view without_trailing_whitespace(std::string_view text);

}  // namespace bulkhead::measure
