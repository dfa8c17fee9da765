// SPDX-License-Identifier: MIT
// Filler: text about nothing that any conversation is about, as long as what it stands for. It separates the effect of
// length from that of foreign content.
#pragma once

#include <cstddef>
#include <string>

namespace bulkhead::eval {

// Sentences one after another, beginning with number `first` and starting over at the end.
class Filler {
 public:
  explicit Filler(std::size_t first) : next_(first) {}

  // Text of `bytes` bytes, fewer by less than a word at most; the last sentence may be cut between words. `bytes` > 0.
  [[nodiscard]] std::string text(std::size_t bytes);

 private:
  std::size_t next_;
};

}  // namespace bulkhead::eval
