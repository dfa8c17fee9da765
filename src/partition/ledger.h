// SPDX-License-Identifier: MIT
// Ledger: what one partition holds, token by token, and what that cost. It is written by Partition alone and is the
// witness that the isolation verdict questions.
#pragma once

#include "conversation/traced_tokens.h"
#include "engine/engine.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bulkhead::partition {

// One message that came in.
struct Receipt {
  std::string label;
  std::string from;          // partition that wrote it
  std::string sha256;        // of the text that was received
  std::uint32_t tokens = 0;  // tokens it became here; 0 until they are prefilled
};

struct Ledger {
  conversation::TracedTokens tokens;  // everything in the cache, in order
  std::uint64_t prefilled_tokens = 0;
  std::uint64_t reused_tokens = 0;  // taken over by a fork
  std::uint64_t generated_tokens = 0;
  // Taken out again, because no text says them (partition/surplus.h), or computed a second time for that. What came in
  // less these is what is there: prefilled + reused + generated - removed = tokens.size().
  std::uint64_t removed_tokens = 0;
  std::vector<Receipt> messages;
  engine::Duration prefill_time{};  // prefills and forks
  engine::Duration decode_time{};   // first to last token, all generations

  // SHA-256 of the token ids (base/hash.h).
  [[nodiscard]] std::string token_sha256() const;
  // How many tokens came from each kind of origin.
  [[nodiscard]] std::map<conversation::OriginKind, std::uint32_t> count_by_origin() const;
};

}  // namespace bulkhead::partition
