// SPDX-License-Identifier: MIT
#include "serve/response_store.h"

#include <algorithm>
#include <utility>

namespace bulkhead::serve {
namespace {

// About what it takes.
std::uint64_t bytes_of(const StoredResponse& response) {
  std::uint64_t bytes = json_text(response.shown).size();
  for (const auto& message : response.messages) {
    bytes += sizeof message + message.content.size();
    for (const auto& call : message.calls) bytes += sizeof call + call.name.size() + call.arguments.size();
  }
  return bytes;
}

}  // namespace

void ResponseStore::forget_first(Owner& owner) {
  owner.bytes -= owner.kept.front().bytes;
  owner.kept.pop_front();
}

void ResponseStore::forget_late(Owner& owner, Clock::time_point now) {
  while (!owner.kept.empty() && owner.kept.front().until <= now) forget_first(owner);
}

void ResponseStore::put(const std::string& owner, StoredResponse response, Clock::time_point now) {
  const auto bytes = bytes_of(response);
  const std::lock_guard lock(mutex_);
  auto& own = owners_[owner];
  forget_late(own, now);
  if (bytes > limits_.bytes) return;
  while (!own.kept.empty() && (own.kept.size() >= limits_.responses || own.bytes + bytes > limits_.bytes)) {
    forget_first(own);
  }
  own.bytes += bytes;
  own.kept.push_back({std::move(response), bytes, now + limits_.life});
}

std::optional<StoredResponse> ResponseStore::find(const std::string& owner, const std::string& id,
                                                  Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  const auto own = owners_.find(owner);
  if (own == owners_.end()) return std::nullopt;
  forget_late(own->second, now);
  for (const auto& kept : own->second.kept) {
    if (kept.response.id == id) return kept.response;
  }
  return std::nullopt;
}

bool ResponseStore::remove(const std::string& owner, const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto own = owners_.find(owner);
  if (own == owners_.end()) return false;
  auto& kept = own->second.kept;
  const auto found = std::find_if(kept.begin(), kept.end(), [&](const Kept& one) { return one.response.id == id; });
  if (found == kept.end()) return false;
  own->second.bytes -= found->bytes;
  kept.erase(found);
  return true;
}

}  // namespace bulkhead::serve
