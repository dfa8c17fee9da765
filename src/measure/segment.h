// SPDX-License-Identifier: MIT
// A text beside the texts that it is measured against.
#pragma once

#include <string>
#include <vector>

namespace bulkhead::measure {

// UTF-8. A segment without references is measured against one empty text.
struct Segment {
  std::string hypothesis;
  std::vector<std::string> references;
};

}  // namespace bulkhead::measure
