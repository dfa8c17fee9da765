// SPDX-License-Identifier: MIT
// The cancellations of one batch of a trace: each member has a stop token of its own, asked by a callback after so many
// tokens, or by a clock in the middle of a computation.
#pragma once

#include "verify/trace.h"

#include <bulkhead/options.h>

#include <cstddef>
#include <stop_token>
#include <thread>
#include <vector>

namespace bulkhead::verify {

class MemberCancels {
 public:
  // `members` and what they point to must outlive this.
  explicit MemberCancels(std::vector<const Member*> members);

  [[nodiscard]] std::stop_token token(std::size_t member) const { return sources_[member].get_token(); }
  void request(std::size_t member) { static_cast<void>(sources_[member].request_stop()); }
  void request_all();

  // From here the clock runs; the batch begins now.
  void start();
  // The batch has ended: nothing is asked any more. Done by the destructor, too.
  void finish();

 private:
  std::vector<const Member*> members_;
  std::vector<std::stop_source> sources_;
  std::jthread clock_;
};

// How member number `index` of a batch generates. `cancels` must outlive the generation.
[[nodiscard]] GenerateOptions member_options(const Member& member, MemberCancels& cancels, std::size_t index);

}  // namespace bulkhead::verify
