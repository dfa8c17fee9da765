// SPDX-License-Identifier: MIT
#include "value_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace bulkhead::bench_dataset {
namespace {

constexpr int kNearSteps = 40;
constexpr int kTries = 1000;
constexpr std::size_t kDaysOfEveryMonth = 28;

// The tables are larger than any conversation needs; running dry is a defect of the tables.
std::string take_last(std::vector<std::string>& list) {
  if (list.empty()) std::abort();
  auto value = std::move(list.back());
  list.pop_back();
  return value;
}

}  // namespace

std::string with_thousands(int number) {
  auto digits = std::to_string(number);
  for (std::size_t end = digits.size(); end > 3; end -= 3) digits.insert(end - 3, ",");
  return digits;
}

ValuePool::ValuePool(const Grammar& grammar, Draw& draw)
    : grammar_(&grammar),
      draw_(&draw),
      first_names_(grammar.first_names),
      last_names_(grammar.last_names),
      places_(grammar.places) {
  draw.shuffle(first_names_);
  draw.shuffle(last_names_);
  draw.shuffle(places_);
}

int ValuePool::amount(const Slot& slot, int near) {
  for (int tried = 0;; ++tried) {
    if (tried == kTries) std::abort();
    int low = slot.low;
    int high = slot.high;
    if (near != 0 && tried < kTries / 2) {
      low = std::max(low, near - kNearSteps * slot.step);
      high = std::min(high, near + kNearSteps * slot.step);
    }
    const auto steps = static_cast<std::size_t>((high - low) / slot.step) + 1;
    const int number = low + static_cast<int>(draw_->below(steps)) * slot.step;
    if (amounts_.insert(number).second) return number;
  }
}

Value ValuePool::take(const Slot& slot, int near) {
  switch (slot.kind) {
    case SlotKind::kAmount: {
      const int number = amount(slot, near);
      return {with_thousands(number) + " " + slot.unit, number};
    }
    case SlotKind::kPerson: {
      auto first = take_last(first_names_);
      return {std::move(first) + " " + take_last(last_names_), 0};
    }
    case SlotKind::kPlace: return {take_last(places_), 0};
    case SlotKind::kDate:
      for (;;) {
        // One draw after the other: the order in which arguments are evaluated is the compiler's choice.
        const auto day = draw_->below(kDaysOfEveryMonth) + 1;
        auto date = fmt::format("{} {}", day, draw_->pick(grammar_->months));
        if (dates_.insert(date).second) return {std::move(date), 0};
      }
  }
  std::abort();
}

}  // namespace bulkhead::bench_dataset
