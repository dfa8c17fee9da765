// SPDX-License-Identifier: MIT
// An output's text cut into pieces: plain, a term of its own topic, a term of a topic it should not know.
#pragma once

#include "base/json.h"

#include <string>
#include <vector>

namespace bulkhead::report {

enum class Mark { kPlain, kOwn, kForeign };

struct Segment {
  std::string text;
  Mark mark = Mark::kPlain;
  std::string cluster;  // whose term it is; empty for plain text
};

// The pieces, joined, are output.text. Foreign ones are as many as output.foreign_terms says.
[[nodiscard]] std::vector<Segment> marked_text(const Json& output, const Json& scenario);

}  // namespace bulkhead::report
