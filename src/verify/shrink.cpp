// SPDX-License-Identifier: MIT
#include "verify/shrink.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace bulkhead::verify {
namespace {

class Shrinker {
 public:
  Shrinker(const Trace& trace, const StillFails& still_fails, std::uint64_t most_tries)
      : still_fails_(still_fails), most_tries_(most_tries) {
    best_.trace = trace;
  }

  Shrunk run() {
    do {
      changed_ = false;
      leave_out_actions();
      leave_out_members();
      simplify_actions();
    } while (changed_ && !spent());
    best_.minimal = !spent();
    return std::move(best_);
  }

 private:
  [[nodiscard]] bool spent() const { return best_.tries >= most_tries_; }

  bool take_if_failing(Trace candidate) {
    if (spent()) return false;
    ++best_.tries;
    if (!still_fails_(candidate)) return false;
    best_.trace = std::move(candidate);
    changed_ = true;
    return true;
  }

  // Ever smaller runs of actions, from the end: what comes late depends on what comes early, not the other way round.
  void leave_out_actions() {
    for (std::size_t width = best_.trace.actions.size() / 2; width > 0; width /= 2) {
      std::size_t end = best_.trace.actions.size();
      while (end >= width && !spent()) {
        Trace candidate = best_.trace;
        const auto first = candidate.actions.begin() + static_cast<std::ptrdiff_t>(end - width);
        candidate.actions.erase(first, first + static_cast<std::ptrdiff_t>(width));
        const bool taken = take_if_failing(std::move(candidate));
        end = taken ? std::min(end - width, best_.trace.actions.size()) : end - 1;
      }
    }
  }

  void leave_out_members() {
    for (std::size_t i = 0; i < best_.trace.actions.size(); ++i) {
      for (std::size_t k = best_.trace.actions[i].members.size(); k-- > 0;) {
        if (best_.trace.actions[i].members.size() < 2) break;
        Trace candidate = best_.trace;
        candidate.actions[i].members.erase(candidate.actions[i].members.begin() + static_cast<std::ptrdiff_t>(k));
        static_cast<void>(take_if_failing(std::move(candidate)));
      }
    }
  }

  void simplify_actions() {
    for (std::size_t i = 0; i < best_.trace.actions.size(); ++i) {
      if (best_.trace.actions[i].text.size() > 1) {
        Trace candidate = best_.trace;
        candidate.actions[i].text = "a";
        static_cast<void>(take_if_failing(std::move(candidate)));
      }
      for (std::size_t k = 0; k < best_.trace.actions[i].members.size(); ++k) simplify_member(i, k);
    }
  }

  void simplify_member(std::size_t action, std::size_t index) {
    const Member original = best_.trace.actions[action].members[index];
    const auto with = [&](const auto& change) {
      Trace candidate = best_.trace;
      Member& member = candidate.actions[action].members[index];
      change(member);
      if (!(member == best_.trace.actions[action].members[index])) {
        static_cast<void>(take_if_failing(std::move(candidate)));
      }
    };
    with([](Member& member) { member.max_tokens = 1; });
    with([](Member& member) { member.temperature = 0; });
    with([](Member& member) {
      member.cancel_after.reset();
      member.cancel_call = false;
    });
    if (original.max_tokens > 2) {
      with([](Member& member) { member.max_tokens = std::min(member.max_tokens, 2U); });
    }
  }

  const StillFails& still_fails_;
  std::uint64_t most_tries_;
  Shrunk best_;
  bool changed_ = false;
};

}  // namespace

Shrunk shrink(const Trace& trace, const StillFails& still_fails, std::uint64_t most_tries) {
  return Shrinker(trace, still_fails, most_tries).run();
}

}  // namespace bulkhead::verify
