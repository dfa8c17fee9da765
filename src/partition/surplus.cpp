// SPDX-License-Identifier: MIT
#include "partition/surplus.h"

#include "base/utf8.h"
#include "engine/generation.h"

#include <string_view>
#include <utility>

namespace bulkhead::partition {
namespace {

using engine::Token;
using Finish = engine::GenerateResult::Finish;

// The bytes of a generation as they were drawn, without end token and stop string.
std::string bytes_of(const engine::GenerateResult& result, const std::vector<std::string>& stops,
                     const engine::Tokenizer& tokenizer) {
  engine::GeneratedText text(stops);
  for (const Token token : result.tokens) {
    if (!tokenizer.ends_generation(token) && text.append(tokenizer.piece(token))) break;
  }
  return text.bytes();
}

bool is_border(std::string_view text, std::size_t at) {
  return at == text.size() || (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
}

}  // namespace

Spoken spoken(const engine::GenerateResult& result, const std::vector<std::string>& stops,
              const engine::Tokenizer& tokenizer, std::size_t size, const std::optional<Surplus>& before,
              std::span<const Token> drawn_before) {
  const auto bytes = (before ? before->unfinished : "") + bytes_of(result, stops, tokenizer);
  const auto left_out = unfinished_utf8_tail(bytes);
  Spoken spoken;
  spoken.text = to_valid_utf8(std::string_view(bytes).substr(0, bytes.size() - left_out));

  std::vector<Token> drawn(drawn_before.begin(), drawn_before.end());
  drawn.insert(drawn.end(), result.tokens.begin(), result.tokens.end());
  Surplus surplus{.begin = size, .keep = size - drawn_before.size()};
  if (result.finish == Finish::kEnd && !drawn.empty()) {
    surplus.end = drawn.back();
    drawn.pop_back();
  }
  // The longest beginning of the tokens that spells a beginning of the text, up to the border of a character.
  const auto said = (before ? before->said : "") + spoken.text;
  std::string spelled;
  std::size_t kept = 0;
  std::size_t kept_bytes = 0;
  bool same = true;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const auto piece = tokenizer.piece(drawn[i]);
    same = same && std::string_view(said).substr(spelled.size()).starts_with(piece);
    spelled += piece;
    if (!same || !is_border(said, spelled.size())) continue;
    kept = i + 1;
    kept_bytes = spelled.size();
  }
  if (kept == drawn.size() && kept_bytes == said.size()) return spoken;
  surplus.keep += kept;
  surplus.said = said.substr(kept_bytes);
  const bool ended = result.finish == Finish::kEnd || result.finish == Finish::kStop;
  surplus.unfinished = bytes.substr(bytes.size() - left_out);
  surplus.open = !ended && spelled == said + surplus.unfinished;
  spoken.surplus = std::move(surplus);
  return spoken;
}

}  // namespace bulkhead::partition
