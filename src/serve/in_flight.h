// SPDX-License-Identifier: MIT
// One of the requests that the engine works for, waiting or computed: what --requests limits.
#pragma once

#include <atomic>
#include <cstdint>

namespace bulkhead::serve {

class InFlight {
 public:
  explicit InFlight(std::atomic<std::uint32_t>& count) : count_(&count), number_(++count) {}
  ~InFlight() { --*count_; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;
  [[nodiscard]] std::uint32_t number() const { return number_; }

 private:
  std::atomic<std::uint32_t>* count_;
  std::uint32_t number_;
};

}  // namespace bulkhead::serve
