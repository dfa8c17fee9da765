// SPDX-License-Identifier: MIT
#include "partition/ledger.h"

#include "base/hash.h"

namespace bulkhead::partition {

std::string Ledger::token_sha256() const {
  return sha256_of_tokens(tokens.tokens);
}

std::map<conversation::OriginKind, std::uint32_t> Ledger::count_by_origin() const {
  std::map<conversation::OriginKind, std::uint32_t> counts;
  for (std::size_t i = 0; i < tokens.size(); ++i) ++counts[tokens.origin(i).kind];
  return counts;
}

}  // namespace bulkhead::partition
