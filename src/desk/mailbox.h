// SPDX-License-Identifier: MIT
// Where the events of jobs wait for the thread that wants them.
#pragma once

#include "engine/engine.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace bulkhead::desk {

// Any thread.
class Mailbox {
 public:
  // Touches nothing of the mailbox once the event can be taken: who takes the last one may destroy it.
  void put(engine::JobEvent event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    came_.notify_one();
  }

  // Waits for one.
  [[nodiscard]] engine::JobEvent take() {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return !events_.empty(); });
    auto event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  // Waits for one, or for a wake(); all that are there.
  [[nodiscard]] std::deque<engine::JobEvent> take_all() {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return woken_ || !events_.empty(); });
    woken_ = false;
    return std::exchange(events_, {});
  }

  void wake() noexcept {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    came_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<engine::JobEvent> events_;
  bool woken_ = false;
};

}  // namespace bulkhead::desk
