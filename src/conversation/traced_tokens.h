// SPDX-License-Identifier: MIT
// Tokens that know where they came from. The isolation verdict rests on these traces: every token of every cache is
// traced to a turn, a marker, a prompt, a message, or to what the model itself wrote.
//
// Invariants: (1) tokens.size() == origin_of.size(); (2) every origin_of[i] < origins.size().
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::conversation {

enum class OriginKind {
  kBos,          // the model's begin-of-text token
  kTemplate,     // written by a chat template
  kInstruction,  // the "prompted" condition's instruction
  kSeparator,    // between turns
  kMarker,       // names a turn
  kTurn,         // text of a turn
  kFrame,        // around messages
  kMessage,      // an output received from another partition
  kPrompt,       // asks for an output
  kGenerated,    // written by the model in this partition
};

[[nodiscard]] std::string_view name(OriginKind kind) noexcept;

struct Origin {
  OriginKind kind = OriginKind::kTurn;
  int turn = 0;            // kTurn, kMarker: Turn::id
  std::string label = {};  // kMessage: label of the output received; kPrompt, kGenerated: label of the output asked for
  friend auto operator<=>(const Origin&, const Origin&) = default;
};

struct TracedTokens {
  std::vector<std::int32_t> tokens;      // [n]
  std::vector<std::uint32_t> origin_of;  // [n] index into origins
  std::vector<Origin> origins;

  [[nodiscard]] std::size_t size() const noexcept { return tokens.size(); }
  [[nodiscard]] const Origin& origin(std::size_t i) const { return origins[origin_of[i]]; }

  void append(std::span<const std::int32_t> more, const Origin& from);
  void append(const TracedTokens& more);
  // Tokens [begin, end), with their origins.
  [[nodiscard]] TracedTokens slice(std::size_t begin, std::size_t end) const;
};

// How many leading tokens all of `sequences` share; 0 if there are none.
[[nodiscard]] std::size_t common_prefix(std::span<const TracedTokens* const> sequences) noexcept;

}  // namespace bulkhead::conversation
