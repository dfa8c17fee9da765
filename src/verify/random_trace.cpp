// SPDX-License-Identifier: MIT
#include "verify/random_trace.h"

#include <algorithm>
#include <array>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::verify {
namespace {

constexpr std::array<std::string_view, 24> kWords = {"harbour",
                                                     "ledger",
                                                     "salt",
                                                     "the",
                                                     "window",
                                                     "seven",
                                                     "blue",
                                                     "engine",
                                                     "\xc3\xa9t\xc3\xa9",
                                                     "1",
                                                     "12",
                                                     "2b",
                                                     "<|im_end|>",
                                                     "<eos>",
                                                     "\xe6\xb8\xaf",
                                                     "counts",
                                                     "ships",
                                                     "nobody",
                                                     "water",
                                                     "<|assistant|>",
                                                     "and",
                                                     "rope",
                                                     "under",
                                                     "a"};
// Beginnings that several partitions share: what is reused by content must still not cross.
constexpr std::array<std::string_view, 3> kBeginnings = {"You keep the harbour log.", "You keep the harbour", "1"};

// Stop strings: single characters end a text soon.
constexpr std::array<std::string_view, 6> kStops = {"e", "a", " ", "1", "\n", "th"};

class Generator {
 public:
  Generator(std::uint64_t seed, const TraceShape& shape) : random_(seed), shape_(shape) {}

  Trace make() {
    trace_.surface = shape_.surface;
    const auto partitions = between(2, shape_.most_partitions);
    const auto actions = between(std::min(partitions + 4, shape_.most_actions), shape_.most_actions);
    for (std::uint32_t i = 0; i < actions; ++i) add_action(partitions, actions - i);
    return std::move(trace_);
  }

 private:
  // The standard distributions differ between libraries; the engine does not.
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
  std::uint32_t between(std::uint32_t low, std::uint32_t high) { return low + below(high - low + 1); }
  bool one_in(std::uint32_t n) { return n > 0 && below(n) == 0; }

  std::string text() {
    const bool is_long = one_in(shape_.long_one_in);
    std::string words;
    if (!is_long && one_in(4)) return std::string(kBeginnings.at(below(kBeginnings.size())));
    const auto count =
        is_long ? between(std::max(1U, shape_.long_words / 4), shape_.long_words) : between(1, shape_.most_words);
    for (std::uint32_t i = 0; i < count; ++i) {
      words += (i == 0 ? "" : " ") + std::string(kWords.at(below(kWords.size())));
    }
    return words;
  }

  std::uint32_t any_open() { return open_[below(static_cast<std::uint32_t>(open_.size()))]; }

  std::uint32_t capacity() { return between(std::max(1U, shape_.capacity / 2), shape_.capacity); }

  void make_partition() {
    Action action{.kind = ActionKind::kOpen, .partition = next_, .capacity = capacity()};
    if (!open_.empty() && one_in(2)) {
      action.kind = ActionKind::kFork;
      action.from = any_open();
      action.permille = shape_.surface || one_in(2) ? 1000 : between(1, 1000);
    }
    trace_.actions.push_back(action);
    open_.push_back(next_++);
    if (action.kind == ActionKind::kOpen) prefill(open_.back());
  }

  void snapshot(std::uint32_t partition) {
    trace_.actions.push_back({.kind = ActionKind::kSnapshot, .partition = partition});
    kept_.push_back(partition);
    if (one_in(2)) close(partition);  // evicted
  }

  void restore() {
    const auto from = kept_[below(static_cast<std::uint32_t>(kept_.size()))];
    trace_.actions.push_back({.kind = ActionKind::kRestore, .partition = next_, .from = from, .capacity = capacity()});
    open_.push_back(next_++);
  }

  void prefill(std::uint32_t partition) {
    trace_.actions.push_back({.kind = ActionKind::kPrefill, .partition = partition, .text = text()});
  }

  void generate() {
    std::vector<std::uint32_t> members = open_;
    for (std::size_t i = members.size(); i > 1; --i) {
      std::swap(members[i - 1], members[below(static_cast<std::uint32_t>(i))]);
    }
    members.resize(between(1, static_cast<std::uint32_t>(members.size())));
    Action action{.kind = ActionKind::kGenerate};
    const bool apart = one_in(2);  // each in a job of its own
    for (const auto partition : members) {
      Member member{.partition = partition, .max_tokens = between(1, shape_.most_new_tokens)};
      if (one_in(2)) {
        member.temperature = 1.0F;
        member.seed = below(3);  // the same seed in several partitions is the hard case for a shared generator
      }
      if (apart) {
        member.join_after = below(shape_.most_new_tokens);
        if (one_in(2)) member.text = text();
      }
      if (one_in(6)) {
        member.cancel_after = between(1, member.max_tokens);
        // How much of a text is prefilled when another member stops it would be chance.
        member.cancel_call = !apart && one_in(3);
      } else if (!member.text.empty()) {
        // Nor when a clock does.
      } else if (one_in(6)) {
        member.cancel_after_us = below(shape_.most_cancel_us);
      }
      if (one_in(6)) member.stop = std::string(kStops.at(below(kStops.size())));
      action.members.push_back(member);
    }
    trace_.actions.push_back(std::move(action));
  }

  void truncate(std::uint32_t partition) {
    trace_.actions.push_back(
        {.kind = ActionKind::kTruncate, .partition = partition, .permille = one_in(4) ? 0 : between(1, 1000)});
  }

  void close(std::uint32_t partition) {
    trace_.actions.push_back({.kind = ActionKind::kClose, .partition = partition});
    std::erase(open_, partition);
  }

  void add_action(std::uint32_t partitions, std::uint32_t left) {
    const bool may_open = next_ < partitions;
    if (open_.size() < 2 || (may_open && partitions - next_ >= left)) {
      if (may_open) return make_partition();
      if (open_.empty()) return;
    }
    const auto dice = below(100);
    const auto partition = any_open();
    if (shape_.surface) return add_surface_action(partition, dice, may_open);
    if (dice < 14 && may_open) return kept_.empty() || one_in(2) ? make_partition() : restore();
    if (dice < 20) return snapshot(partition);
    if (dice < 24) return truncate(partition);
    if (dice < 38) return prefill(partition);
    if (dice < 66) return generate();
    if (dice < 76) {
      trace_.actions.push_back({.kind = ActionKind::kReceive, .partition = partition, .from = any_open()});
    } else if (dice < 82) {
      trace_.actions.push_back({.kind = ActionKind::kScore, .partition = partition, .text = text()});
    } else if (dice < 86) {
      trace_.actions.push_back({.kind = ActionKind::kCancelPrefill, .partition = partition, .text = text()});
      if (one_in(2)) close(partition);
    } else if (dice < 92) {
      const auto refusal = static_cast<Refusal>(below(5));
      trace_.actions.push_back({.kind = ActionKind::kFail, .partition = partition, .refusal = refusal});
    } else {
      close(partition);
    }
  }

  void add_surface_action(std::uint32_t partition, std::uint32_t dice, bool may_open) {
    constexpr std::array kRefused = {Refusal::kOverflow, Refusal::kMessage, Refusal::kForeign, Refusal::kTwice,
                                     Refusal::kBudget};
    if (dice < 12 && may_open) return make_partition();
    if (dice < 16) return truncate(partition);
    if (dice < 20) return trace_.actions.push_back({.kind = ActionKind::kPark});
    if (dice < 30) return prefill(partition);
    if (dice < 62) return generate();
    if (dice < 74) {
      trace_.actions.push_back({.kind = ActionKind::kReceive, .partition = partition, .from = any_open()});
    } else if (dice < 82) {
      trace_.actions.push_back({.kind = ActionKind::kChat, .partition = partition, .text = text()});
    } else if (dice < 92) {
      const auto refusal = kRefused.at(below(kRefused.size()));
      trace_.actions.push_back({.kind = ActionKind::kFail, .partition = partition, .refusal = refusal});
    } else {
      close(partition);
    }
  }

  std::mt19937_64 random_;
  const TraceShape& shape_;
  Trace trace_;
  std::vector<std::uint32_t> open_;
  std::vector<std::uint32_t> kept_;  // those with a snapshot
  std::uint32_t next_ = 0;
};

}  // namespace

Trace random_trace(std::uint64_t seed, const TraceShape& shape) {
  return Generator(seed, shape).make();
}

}  // namespace bulkhead::verify
