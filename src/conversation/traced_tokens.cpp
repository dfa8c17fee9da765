// SPDX-License-Identifier: MIT
#include "conversation/traced_tokens.h"

#include <algorithm>

namespace bulkhead::conversation {

std::string_view name(OriginKind kind) noexcept {
  switch (kind) {
    case OriginKind::kBos: return "bos";
    case OriginKind::kTemplate: return "template";
    case OriginKind::kInstruction: return "instruction";
    case OriginKind::kSeparator: return "separator";
    case OriginKind::kMarker: return "marker";
    case OriginKind::kTurn: return "turn";
    case OriginKind::kFrame: return "frame";
    case OriginKind::kMessage: return "message";
    case OriginKind::kPrompt: return "prompt";
    case OriginKind::kGenerated: return "generated";
  }
  return "";
}

void TracedTokens::append(std::span<const std::int32_t> more, const Origin& from) {
  if (more.empty()) return;
  auto found = std::find(origins.begin(), origins.end(), from);
  if (found == origins.end()) found = origins.insert(origins.end(), from);
  tokens.insert(tokens.end(), more.begin(), more.end());
  origin_of.resize(tokens.size(), static_cast<std::uint32_t>(found - origins.begin()));
}

void TracedTokens::append(const TracedTokens& more) {
  for (std::size_t i = 0; i < more.size(); ++i) append(std::span(&more.tokens[i], 1), more.origin(i));
}

TracedTokens TracedTokens::slice(std::size_t begin, std::size_t end) const {
  TracedTokens part;
  for (std::size_t i = begin; i < end; ++i) part.append(std::span(&tokens[i], 1), origin(i));
  return part;
}

std::size_t common_prefix(std::span<const TracedTokens* const> sequences) noexcept {
  if (sequences.empty()) return 0;
  std::size_t length = sequences.front()->size();
  for (const auto* sequence : sequences.subspan(1)) {
    const auto& first = sequences.front()->tokens;
    const auto& other = sequence->tokens;
    const auto limit = static_cast<std::ptrdiff_t>(std::min(length, other.size()));
    length = static_cast<std::size_t>(std::mismatch(first.begin(), first.begin() + limit, other.begin()).first -
                                      first.begin());
  }
  return length;
}

}  // namespace bulkhead::conversation
