// SPDX-License-Identifier: MIT
// Responses that a client may go on with by their ids, each its owner's own. They are kept in memory for a while,
// within a budget; the oldest go first.
//
// Thread rule: any thread.
#pragma once

#include "base/json.h"
#include "engine/tokenizer.h"

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::serve {

struct StoredResponse {
  std::string id;
  std::vector<engine::ChatMessage> messages;  // of the whole chat without instructions, the answer last
  Json shown;                                 // as it was answered
};

class ResponseStore {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    std::uint64_t bytes = std::uint64_t{16} << 20U;  // of one owner, texts counted
    std::size_t responses = 512;
    std::chrono::seconds life{24 * 3600};
  };

  ResponseStore() = default;
  explicit ResponseStore(Limits limits) : limits_(limits) {}

  // One that is larger than the whole budget is not kept.
  void put(const std::string& owner, StoredResponse response, Clock::time_point now = Clock::now());
  // nullopt, false: this owner has none of this id, or its time is over.
  [[nodiscard]] std::optional<StoredResponse> find(const std::string& owner, const std::string& id,
                                                   Clock::time_point now = Clock::now());
  bool remove(const std::string& owner, const std::string& id);

 private:
  struct Kept {
    StoredResponse response;
    std::uint64_t bytes;
    Clock::time_point until;
  };
  struct Owner {
    std::list<Kept> kept = {};  // the oldest first
    std::uint64_t bytes = 0;
  };
  static void forget_first(Owner& owner);
  static void forget_late(Owner& owner, Clock::time_point now);

  Limits limits_;
  std::mutex mutex_;  // of what follows
  std::map<std::string, Owner> owners_;
};

}  // namespace bulkhead::serve
