// SPDX-License-Identifier: MIT
// Rules in GBNF, as llama.cpp's parser reads them, in a form that can be walked through. Values; any thread.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engines::llama {

class Grammar {
 public:
  using Place = std::uint32_t;  // of an element

  enum class Kind : std::uint8_t { kEnd, kRule, kCharacter };

  // A character may be one of these, or none of them.
  struct Range {
    std::uint32_t low;
    std::uint32_t high;
  };
  struct Element {
    Kind kind;
    bool none_of = false;     // kCharacter: none of its ranges; without any: every character
    std::uint32_t first = 0;  // kRule: its number; kCharacter: the first of its ranges
    std::uint32_t count = 0;  // kCharacter: how many ranges
  };

  // kBadInput, with line and reason: it is broken, has no rule `root`, names a rule that is not there, repeats anything
  // more than 2,000 times, nests more than 64 levels of parentheses, has names of more than 128 characters, or would
  // have more than 131,072 elements with its repetitions written out. Tokens by name or number (<...>, !<...>) are
  // refused too: control tokens are never drawn under a grammar. Nothing is printed. `text` is UTF-8 without zeros.
  // Takes time and memory of the order of its elements. Rules may be left-recursive, which llama.cpp refuses.
  [[nodiscard]] static Result<Grammar> parse(std::string_view text);

  [[nodiscard]] const Element& at(Place place) const { return elements_[place]; }
  [[nodiscard]] std::size_t rules() const { return first_alternative_.size() - 1; }
  [[nodiscard]] std::uint32_t root() const { return root_; }
  // Where each alternative of a rule begins.
  [[nodiscard]] std::span<const Place> alternatives(std::uint32_t rule) const;
  // Whether the character at `place` may be this one.
  [[nodiscard]] bool matches(Place place, std::uint32_t character) const;
  // Whether it may be one from `low` to `high`; surrogates are no characters.
  [[nodiscard]] bool matches_any(Place place, std::uint32_t low, std::uint32_t high) const;
  // Numbers to be looked at for that.
  [[nodiscard]] std::uint32_t ranges(Place place) const { return elements_[place].count; }

 private:
  friend class GrammarReader;
  std::vector<Element> elements_;  // alternatives one behind another, each with a kEnd
  std::vector<Range> ranges_;
  std::vector<Place> alternatives_;
  std::vector<std::uint32_t> first_alternative_;  // [n_rules + 1], in alternatives_
  std::uint32_t root_ = 0;
};

}  // namespace bulkhead::engines::llama
