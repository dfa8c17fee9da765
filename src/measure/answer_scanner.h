// SPDX-License-Identifier: MIT
// The first half of answer_tokens: a text cut into words, digits and signs as they stand there.
#pragma once

#include "measure/answer_tokens.h"

namespace bulkhead::measure {

struct ScannedToken {
  AnswerToken token;   // a word in its own letter case; a sign such as % as kUnit; a slash between letters as kUnit "/"
  bool minus = false;  // stands before this number or currency sign
  bool glued = false;  // a word that begins where a number ends
};

[[nodiscard]] std::vector<ScannedToken> scan_answer(std::string_view text);

}  // namespace bulkhead::measure
