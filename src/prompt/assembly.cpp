// SPDX-License-Identifier: MIT
#include "prompt/assembly.h"

#include "prompt/placeholders.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace bulkhead::prompt {
namespace {

using conversation::Origin;
using conversation::OriginKind;
using conversation::Scenario;
using conversation::TracedTokens;
using engine::ChatMessage;
using engine::ChatPart;
using engine::Token;
using engine::Tokenizer;

constexpr std::string_view kBlank = " \t\r\n\v\f";
constexpr std::string_view kMergeJoin = "\n\n";

Origin origin_of(OriginKind kind, int turn = 0, std::string label = {}) {
  Origin origin;
  origin.kind = kind;
  origin.turn = turn;
  origin.label = std::move(label);
  return origin;
}

// A block with one piece to begin with.
Block block_of(std::string role, Origin origin, std::string text) {
  Block block;
  block.role = std::move(role);
  block.pieces.push_back({std::move(origin), std::move(text)});
  return block;
}

std::string joined(std::span<const Piece> pieces) {
  std::string text;
  for (const auto& piece : pieces) text += piece.text;
  return text;
}

Block message_block(const MessageFrame& frame, const std::vector<std::string>& labels,
                    const std::map<std::string, std::string>& messages) {
  Block block;
  const auto add = [&](OriginKind kind, const std::string& label, const std::string& text) {
    if (!text.empty()) block.pieces.push_back({origin_of(kind, 0, label), text});
  };
  for (const auto& label : labels) {
    const auto message = messages.find(label);
    if (message == messages.end()) continue;
    add(OriginKind::kFrame, {}, block.pieces.empty() ? frame.prefix : frame.join);
    for (const auto& part : template_parts(frame.item)) {
      if (!part.placeholder) {
        add(OriginKind::kFrame, {}, part.text);
      } else if (part.text == "label") {
        add(OriginKind::kFrame, {}, label);
      } else {
        add(OriginKind::kMessage, label, message->second);
      }
    }
  }
  if (!block.pieces.empty()) add(OriginKind::kFrame, {}, frame.suffix);
  return block;
}

Block turn_block(const Format& format, const conversation::Turn& turn, bool marked) {
  Block block;
  block.role = turn.role;
  if (marked) {
    block.pieces.push_back({origin_of(OriginKind::kMarker, turn.id), marker_text(format, turn.id)});
  }
  if (format.read_query || turn.field != conversation::TurnField::kQuery) {
    block.pieces.push_back({origin_of(OriginKind::kTurn, turn.id), turn.text});
  }
  return block;
}

// Appends `tokens`, which spell the pieces' text, each with the origin of the piece its first byte is in.
Result<void> append_spelled(TracedTokens& out, std::span<const Token> tokens, std::span<const Piece> pieces,
                            const Tokenizer& tokenizer) {
  const std::string text = joined(pieces);
  std::size_t offset = 0;  // of the next token's first byte
  std::size_t piece = 0;
  std::size_t piece_end = pieces.empty() ? 0 : pieces.front().text.size();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    while (piece + 1 < pieces.size() && offset >= piece_end) piece_end += pieces[++piece].text.size();
    const std::string spelled = tokenizer.piece(tokens[i]);
    if (text.compare(offset, spelled.size(), spelled) != 0) {
      return Error{ErrorCode::kInternal,
                   fmt::format(R"(token {} spells "{}" where the text goes on with "{}")", tokens[i], spelled,
                               text.substr(offset, spelled.size())),
                   "tokenizer",
                   {}};
    }
    offset += spelled.size();
    out.append(tokens.subspan(i, 1), pieces[piece].origin);
  }
  if (offset != text.size()) {
    return Error{
        ErrorCode::kInternal, fmt::format("the tokens spell {} of {} bytes", offset, text.size()), "tokenizer", {}};
  }
  return {};
}

Result<void> append_text(TracedTokens& out, std::span<const Piece> pieces, const Tokenizer& tokenizer) {
  const std::string text = joined(pieces);
  if (text.empty()) return {};
  BH_TRY(const auto tokens, tokenizer.tokenize(text));
  return append_spelled(out, tokens, pieces, tokenizer);
}

void append_bos(TracedTokens& out, const Tokenizer& tokenizer) {
  if (const auto bos = tokenizer.bos()) out.append(std::array{*bos}, origin_of(OriginKind::kBos));
}

// All pieces of the blocks as one run, separators included.
std::vector<Piece> joined_blocks(const Format& format, std::span<const Block> blocks) {
  std::vector<Piece> pieces;
  for (const auto& block : blocks) {
    if (block.separated && !format.separator.empty()) {
      pieces.push_back({origin_of(OriginKind::kSeparator), format.separator});
    }
    pieces.insert(pieces.end(), block.pieces.begin(), block.pieces.end());
  }
  return pieces;
}

Result<TracedTokens> assemble_raw(const Format& format, std::span<const Block> blocks, const Tokenizer& tokenizer) {
  TracedTokens out;
  if (format.tokenizing == Tokenizing::kWhole) {
    append_bos(out, tokenizer);
    BH_CHECK(append_text(out, joined_blocks(format, blocks), tokenizer));
    return out;
  }
  for (const auto& block : blocks) {
    if (format.bos_per_block || out.size() == 0) append_bos(out, tokenizer);
    BH_CHECK(append_text(out, block.pieces, tokenizer));
  }
  return out;
}

std::vector<Block> merge_equal_roles(std::span<const Block> blocks) {
  std::vector<Block> merged;
  for (const auto& block : blocks) {
    if (merged.empty() || merged.back().role != block.role) {
      merged.push_back(block);
      continue;
    }
    auto& pieces = merged.back().pieces;
    pieces.push_back({origin_of(OriginKind::kSeparator), std::string(kMergeJoin)});
    pieces.insert(pieces.end(), block.pieces.begin(), block.pieces.end());
  }
  return merged;
}

std::vector<Block> without_system_role(std::span<const Block> blocks) {
  std::vector<Block> plain(blocks.begin(), blocks.end());
  for (auto& block : plain) {
    if (block.role == "system") block.role = "user";
  }
  return plain;
}

// Bytes [begin, end) of the pieces' joined text, as pieces.
std::vector<Piece> slice(std::span<const Piece> pieces, std::size_t begin, std::size_t end) {
  std::vector<Piece> part;
  std::size_t offset = 0;
  for (const auto& piece : pieces) {
    const auto from = std::max(begin, offset);
    const auto to = std::min(end, offset + piece.text.size());
    if (from < to) part.push_back({piece.origin, piece.text.substr(from - offset, to - from)});
    offset += piece.text.size();
  }
  return part;
}

// Finds each content part of a rendered chat in the messages it came from. Templates may trim white space, nothing
// else.
class ContentCursor {
 public:
  explicit ContentCursor(std::span<const Block> blocks) : blocks_(blocks) {
    for (const auto& block : blocks) texts_.push_back(joined(block.pieces));
  }

  // The pieces behind the next content part. kUnsupported if the template skipped or changed some.
  Result<std::vector<Piece>> take(std::string_view part) {
    for (; message_ < texts_.size(); ++message_, offset_ = 0) {
      const std::string_view text = texts_[message_];
      const auto filled = std::min(text.find_first_not_of(kBlank, offset_), text.size());
      for (const auto begin : {offset_, filled}) {
        if (!text.substr(begin).starts_with(part)) continue;
        offset_ = begin + part.size();
        return slice(blocks_[message_].pieces, begin, offset_);
      }
      if (filled < text.size()) break;
    }
    return changed();
  }

  [[nodiscard]] Result<void> finish() const {
    for (auto at = message_; at < texts_.size(); ++at) {
      if (texts_[at].find_first_not_of(kBlank, at == message_ ? offset_ : 0) != std::string::npos) return changed();
    }
    return {};
  }

 private:
  static Error changed() {
    return {ErrorCode::kUnsupported, "the model's chat template leaves out or changes the content of a message",
            "chat template", "choose a raw format"};
  }

  std::span<const Block> blocks_;
  std::vector<std::string> texts_;
  std::size_t message_ = 0;
  std::size_t offset_ = 0;
};

void append_template(TracedTokens& out, std::span<const Token> tokens, const Tokenizer& tokenizer) {
  const bool begins = out.size() == 0 && !tokens.empty() && tokens.front() == tokenizer.bos();
  if (begins) append_bos(out, tokenizer);
  out.append(tokens.subspan(begins ? 1 : 0), origin_of(OriginKind::kTemplate));
}

Result<TracedTokens> render(std::span<const Block> blocks, const Tokenizer& tokenizer, bool open_assistant_turn) {
  std::vector<ChatMessage> messages;
  for (const auto& block : blocks) messages.push_back({block.role, joined(block.pieces)});
  BH_TRY(const auto parts, tokenizer.render_chat(messages, open_assistant_turn));
  TracedTokens rest;
  ContentCursor cursor(blocks);
  for (const ChatPart& part : parts) {
    if (part.text.empty()) continue;
    if (part.from_template) {
      BH_TRY(const auto tokens, tokenizer.tokenize_template(part.text));
      append_template(rest, tokens, tokenizer);
    } else {
      BH_TRY(const auto pieces, cursor.take(part.text));
      BH_CHECK(append_text(rest, pieces, tokenizer));
    }
  }
  BH_CHECK(cursor.finish());
  if (rest.size() != 0 && tokenizer.bos() == rest.tokens.front()) return rest;
  TracedTokens out;
  append_bos(out, tokenizer);
  out.append(rest);
  return out;
}

Result<TracedTokens> assemble_chat(std::span<const Block> blocks, const Tokenizer& tokenizer,
                                   bool open_assistant_turn) {
  if (blocks.empty()) {
    TracedTokens out;
    append_bos(out, tokenizer);
    return out;
  }
  auto as_is = render(blocks, tokenizer, open_assistant_turn);
  if (as_is.ok() || as_is.error().code != ErrorCode::kUnsupported) return as_is;
  auto merged = render(merge_equal_roles(blocks), tokenizer, open_assistant_turn);
  if (merged.ok() || merged.error().code != ErrorCode::kUnsupported) return merged;
  auto plain = render(merge_equal_roles(without_system_role(blocks)), tokenizer, open_assistant_turn);
  if (plain.ok()) return plain;
  return as_is;
}

}  // namespace

std::vector<Block> context_blocks(const Format& format, const Scenario& scenario, const ContextContent& content,
                                  const std::map<std::string, std::string>& messages) {
  std::vector<Block> blocks;
  if (content.instruction) {
    blocks.push_back(
        block_of(format.instruction_role, origin_of(OriginKind::kInstruction), instruction_text(format, scenario)));
  }
  auto received = message_block(format.message, content.messages_from, messages);
  if (!received.pieces.empty()) blocks.push_back(std::move(received));
  bool first = true;
  for (const int id : content.turns) {
    const auto* turn = scenario.find_turn(id);
    if (turn == nullptr) continue;
    auto block = turn_block(format, *turn, content.markers);
    if (block.pieces.empty()) continue;
    block.separated = !std::exchange(first, false);
    blocks.push_back(std::move(block));
  }
  return blocks;
}

Block prompt_block(const Format& format, const std::string& text, const std::string& label) {
  return block_of("user", origin_of(OriginKind::kPrompt, 0, label), format.prompt_prefix + text);
}

Result<TracedTokens> assemble(const Format& format, std::span<const Block> blocks, const Tokenizer& tokenizer,
                              bool open_assistant_turn) {
  if (format.rendering == Rendering::kChat) return assemble_chat(blocks, tokenizer, open_assistant_turn);
  return assemble_raw(format, blocks, tokenizer);
}

std::string plain_text(const Format& format, std::span<const Block> blocks) {
  if (format.rendering == Rendering::kRaw) return joined(joined_blocks(format, blocks));
  std::string text;
  for (const auto& block : blocks) {
    if (!text.empty()) text += kMergeJoin;
    text += joined(block.pieces);
  }
  return text;
}

}  // namespace bulkhead::prompt
