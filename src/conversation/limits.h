// SPDX-License-Identifier: MIT
// How large a conversation may be, whatever file it comes from (docs/scenario-format.md, "Limits").
#pragma once

#include <cstddef>
#include <cstdint>

namespace bulkhead::conversation {

inline constexpr std::uint64_t kMaxInputBytes = 64ULL << 20U;
inline constexpr std::size_t kMaxTurns = 10'000;
inline constexpr std::size_t kMaxClusters = 500;
inline constexpr std::size_t kMaxTerms = 1'000;
inline constexpr std::size_t kMaxTextBytes = 1U << 20U;
inline constexpr std::size_t kMaxWordsBytes = 1'000;  // topic, term, domain, task type
inline constexpr std::size_t kMaxIdBytes = 100;
inline constexpr int kMaxTurnId = 1'000'000;

}  // namespace bulkhead::conversation
