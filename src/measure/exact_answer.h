// SPDX-License-Identifier: MIT
// Whether a text gives an exact answer, and where. What counts as the same value stands in answer_tokens.h.
//
// An answer occurs where its tokens stand one behind the other: 41 does not occur in "414", "41a", "b41", "4,100",
// "41-45", "-41" or "0.41". Articles at its beginning are dropped. A number without a unit occurs with any unit; a date
// without a year or a day occurs in one that has them. Of scripts without spaces whole words occur, and in Korean with
// particles behind them (words.h). Pure functions, for any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::measure {

struct AnswerHit {
  std::size_t answer = 0;  // index
  std::size_t begin = 0;   // bytes [begin, end) of the text
  std::size_t end = 0;
};

// All occurrences of all answers in order of place, the longer first. An occurrence within a longer one of another
// answer does not count ("41" where "41 bar" is another answer and stands there); equal answers all count. An answer
// without a token is never found.
[[nodiscard]] std::vector<AnswerHit> find_answers(std::string_view text, std::span<const std::string> answers);

[[nodiscard]] bool contains_answer(std::string_view text, const std::string& answer);

}  // namespace bulkhead::measure
