// SPDX-License-Identifier: MIT
#include "verify/member_cancels.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace bulkhead::verify {

MemberCancels::MemberCancels(std::vector<const Member*> members)
    : members_(std::move(members)), sources_(members_.size()) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i]->cancel_after == 0U) request(i);
  }
}

void MemberCancels::request_all() {
  for (std::size_t i = 0; i < sources_.size(); ++i) request(i);
}

void MemberCancels::start() {
  std::vector<std::pair<std::uint32_t, std::size_t>> due;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i]->cancel_after_us) due.emplace_back(*members_[i]->cancel_after_us, i);
  }
  if (due.empty()) return;
  std::sort(due.begin(), due.end());
  const auto begin = std::chrono::steady_clock::now();
  clock_ = std::jthread([this, begin, due = std::move(due)](const std::stop_token& ended) {
    for (const auto& [microseconds, member] : due) {
      const auto until = begin + std::chrono::microseconds(microseconds);
      // Waits awake: a sleep would always end between two steps of a small model.
      while (std::chrono::steady_clock::now() < until) {
        if (ended.stop_requested()) return;
      }
      request(member);
    }
  });
}

void MemberCancels::finish() {
  clock_ = std::jthread();
}

GenerateOptions member_options(const Member& member, MemberCancels& cancels, std::size_t index) {
  GenerateOptions options;
  options.sampling.temperature = member.temperature;
  options.sampling.seed = member.seed;
  options.max_tokens = member.max_tokens;
  if (!member.stop.empty()) options.stop.push_back(member.stop);
  options.cancel = cancels.token(index);
  if (!member.cancel_after) return options;
  options.on_token = [limit = *member.cancel_after, call = member.cancel_call, &cancels](const TokenEvent& event) {
    if (event.index + 1 < limit) return true;
    if (call) cancels.request_all();
    return false;
  };
  return options;
}

}  // namespace bulkhead::verify
