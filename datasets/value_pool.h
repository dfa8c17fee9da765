// SPDX-License-Identifier: MIT
// Random draws that are the same everywhere, and values of which none comes twice.
#pragma once

#include "source_tables.h"

#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::bench_dataset {

// The standard fixes mt19937_64's numbers but not what its distributions make of them; so only plain remainders here.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : generator_(seed) {}

  // 0 to n - 1; n > 0. (The bias of a remainder of 64 bits is far below what 120 conversations could show.)
  [[nodiscard]] std::size_t below(std::size_t n) { return static_cast<std::size_t>(generator_() % n); }
  template <typename Value>
  [[nodiscard]] const Value& pick(const std::vector<Value>& from) {
    return from[below(from.size())];
  }
  template <typename Value>
  void shuffle(std::vector<Value>& list) {
    for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[below(i)]);
  }

 private:
  std::mt19937_64 generator_;
};

struct Value {
  std::string text;  // "41,300 euros"
  int amount = 0;    // kAmount
};

// 41300 -> "41,300".
[[nodiscard]] std::string with_thousands(int number);

// Hands out the values of one conversation, each once.
class ValuePool {
 public:
  ValuePool(const Grammar& grammar, Draw& draw);

  // `near`: an amount close to `near` where one is free; 0: anywhere between the slot's bounds.
  [[nodiscard]] Value take(const Slot& slot, int near);

 private:
  [[nodiscard]] int amount(const Slot& slot, int near);

  const Grammar* grammar_;
  Draw* draw_;
  std::vector<std::string> first_names_;
  std::vector<std::string> last_names_;
  std::vector<std::string> places_;
  std::set<int> amounts_;
  std::set<std::string> dates_;
};

}  // namespace bulkhead::bench_dataset
