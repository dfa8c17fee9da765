// SPDX-License-Identifier: MIT
// Surplus: what the cache holds of a generation and its text does not say. A stop string is cut off the text, bytes
// that are no character are replaced, a character that is not finished is left out. What a partition says must be what
// its cache holds: so the surplus goes, before anything else comes behind it.
#pragma once

#include "engine/engine.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::partition {

struct Surplus {
  std::size_t begin = 0;             // how many tokens the sequence had before the generation
  std::size_t keep = 0;              // how many of its tokens stay as they are
  std::string said;                  // text behind those, which has to be tokenized anew
  std::optional<engine::Token> end;  // the end token behind that
  std::string unfinished;            // first bytes of a character behind that
  // Nothing but a character is unfinished, and no end was reached: another generation may finish it.
  bool open = false;

  friend bool operator==(const Surplus&, const Surplus&) = default;
};

// What a generation comes to.
struct Spoken {
  std::string text;  // valid UTF-8, without stop string, end token and unfinished character
  std::optional<Surplus> surplus;
};

// Of a generation that drew result.tokens behind `size` tokens of a sequence. `before` is the open surplus of the
// generation right before it, if that left one, and `drawn_before` its tokens behind before->keep: the character that
// was left out there is the first of this text, if it was finished.
[[nodiscard]] Spoken spoken(const engine::GenerateResult& result, const std::vector<std::string>& stops,
                            const engine::Tokenizer& tokenizer, std::size_t size, const std::optional<Surplus>& before,
                            std::span<const engine::Token> drawn_before);

}  // namespace bulkhead::partition
