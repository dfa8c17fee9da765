// SPDX-License-Identifier: MIT
// The text of a generation as it may be sent while it grows: whole characters, and nothing that a stop string may yet
// cut off. What was sent is always the beginning of the final text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::serve {

class TextStream {
 public:
  explicit TextStream(const std::vector<std::string>& stops);

  // The bytes of a token; gives what may be sent now, maybe nothing.
  [[nodiscard]] std::string append(std::string_view piece);
  // The final text is known: gives what was not sent yet.
  [[nodiscard]] std::string finish(std::string_view text) const;

 private:
  std::vector<std::string> stops_;
  std::string bytes_;
  std::size_t sent_ = 0;
};

}  // namespace bulkhead::serve
