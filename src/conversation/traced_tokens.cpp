// SPDX-License-Identifier: MIT
#include "conversation/traced_tokens.h"

#include <algorithm>

namespace bulkhead::conversation {
namespace {

// The origin's index in `out`, where it is added if it is new. Most tokens come from where the one before them came
// from, and that is looked at first: a search of all origins for each token would cost as many comparisons as there are
// tokens times turns.
std::uint32_t index_of(const Origin& from, TracedTokens& out) {
  if (!out.origin_of.empty() && out.origins[out.origin_of.back()] == from) return out.origin_of.back();
  const auto found = std::find(out.origins.rbegin(), out.origins.rend(), from);
  if (found != out.origins.rend()) return static_cast<std::uint32_t>(out.origins.rend() - found - 1);
  out.origins.push_back(from);
  return static_cast<std::uint32_t>(out.origins.size() - 1);
}

void append_slice(TracedTokens& out, const TracedTokens& from, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end;) {
    auto last = i + 1;
    while (last < end && from.origin_of[last] == from.origin_of[i]) ++last;
    out.append(std::span(from.tokens).subspan(i, last - i), from.origin(i));
    i = last;
  }
}

}  // namespace

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
  const auto index = index_of(from, *this);
  tokens.insert(tokens.end(), more.begin(), more.end());
  origin_of.resize(tokens.size(), index);
}

void TracedTokens::append(const TracedTokens& more) {
  append_slice(*this, more, 0, more.size());
}

TracedTokens TracedTokens::slice(std::size_t begin, std::size_t end) const {
  TracedTokens part;
  append_slice(part, *this, begin, end);
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
