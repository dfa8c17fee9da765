// SPDX-License-Identifier: MIT
#include "prompt/assembly.h"

#include "engine/opaque_chat.h"
#include "prompt/placeholders.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
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
  block.source = fmt::format("turn {} (cluster {}, {})", turn.id, turn.cluster, turn.role);
  if (marked) {
    block.pieces.push_back({origin_of(OriginKind::kMarker, turn.id), marker_text(format, turn.id)});
  }
  if (format.read_query || turn.field != conversation::TurnField::kQuery) {
    block.pieces.push_back({origin_of(OriginKind::kTurn, turn.id), turn.text});
  }
  return block;
}

// How many bytes of `text` the piece `spelled` stands for; nothing when it is no spelling of their beginning.
// SentencePiece writes a space as U+2581, so that character comes back as a space.
std::optional<std::size_t> bytes_spelled(std::string_view text, std::string_view spelled) {
  constexpr std::string_view kSpaceMark = "\u2581";
  std::size_t at = 0;
  for (const char byte : spelled) {
    if (at < text.size() && text[at] == byte) {
      ++at;
    } else if (byte == ' ' && text.substr(std::min(at, text.size())).starts_with(kSpaceMark)) {
      at += kSpaceMark.size();
    } else {
      return std::nullopt;
    }
  }
  return at;
}

std::string source_of(const Origin& origin) {
  if (origin.turn != 0) return fmt::format("turn {}", origin.turn);
  return origin.label.empty() ? std::string(conversation::name(origin.kind))
                              : fmt::format("{} {}", conversation::name(origin.kind), origin.label);
}

Error cannot_spell(std::string_view text, const Origin& origin) {
  constexpr std::size_t kShown = 32;
  std::size_t end = std::min(kShown, text.size());
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return {ErrorCode::kBadInput, fmt::format(R"(the model's vocabulary has no tokens for "{}")", text.substr(0, end)),
          source_of(origin), "leave these characters out, or use another model"};
}

// Appends `tokens`, which spell the pieces' text, each with the origin of the piece its first byte is in.
Result<void> append_spelled(TracedTokens& out, std::span<const Token> tokens, std::span<const Piece> pieces,
                            const Tokenizer& tokenizer) {
  const std::string whole = joined(pieces);
  std::string_view rest = whole;
  std::size_t piece = 0;
  std::size_t piece_end = pieces.empty() ? 0 : pieces.front().text.size();
  const auto offset = [&] { return whole.size() - rest.size(); };  // of the next token's first byte
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    while (piece + 1 < pieces.size() && offset() >= piece_end) piece_end += pieces[++piece].text.size();
    const auto bytes = bytes_spelled(rest, tokenizer.piece(tokens[i]));
    if (!bytes || *bytes == 0) return cannot_spell(rest, pieces[piece].origin);
    rest.remove_prefix(*bytes);
    out.append(tokens.subspan(i, 1), pieces[piece].origin);
  }
  if (!rest.empty()) return cannot_spell(rest, pieces.back().origin);
  return {};
}

Result<void> append_text(TracedTokens& out, std::span<const Piece> pieces, const Tokenizer& tokenizer) {
  const std::string text = joined(pieces);
  if (text.empty()) return {};
  auto tokens = tokenizer.tokenize(text);
  if (!tokens.ok()) {
    auto error = tokens.error();
    if (error.place.empty()) error.place = source_of(pieces.front().origin);
    return error;
  }
  return append_spelled(out, *tokens, pieces, tokenizer);
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

// A way of laying out messages that a template may take where it refuses them as they are.
struct Arrangement {
  std::vector<Block> blocks;
  std::vector<std::string> changes = {};
};

// What is tried, each on top of those before it.
enum class Change { kMerge, kDeveloperAsSystem, kToolAsUser, kOpen, kInnerSystemAsUser, kSystemAsUser };
constexpr std::array kChanges = {Change::kMerge, Change::kDeveloperAsSystem, Change::kToolAsUser,
                                 Change::kOpen,  Change::kInnerSystemAsUser, Change::kSystemAsUser};

// From the block at `first` on, what `from` says is said by `to`.
bool give(std::vector<Block>& blocks, std::string_view from, std::string_view to, std::size_t first = 0) {
  bool changed = false;
  for (std::size_t i = first; i < blocks.size(); ++i) {
    if (blocks[i].role != from) continue;
    blocks[i].role = to;
    changed = true;
  }
  return changed;
}

// Puts the format's opening turn before an assistant that begins. Its text is the format's, as a template's is.
bool open_conversation(std::vector<Block>& blocks, const std::string& opening) {
  const auto first =
      std::find_if(blocks.begin(), blocks.end(), [](const auto& block) { return block.role != "system"; });
  if (opening.empty() || first == blocks.end() || first->role == "user") return false;
  auto block = block_of("user", origin_of(OriginKind::kTemplate), opening);
  block.source = "the format's opening turn";
  blocks.insert(first, std::move(block));
  return true;
}

// Makes one change; false: there is nothing of the kind.
bool make_change(Change change, const Format& format, Arrangement& arrangement) {
  auto& blocks = arrangement.blocks;
  std::string words;
  switch (change) {
    case Change::kMerge: break;
    case Change::kDeveloperAsSystem:
      if (give(blocks, "developer", "system")) words = "developer turns are system turns";
      break;
    case Change::kToolAsUser:
      if (give(blocks, "tool", "user")) words = "tool turns are the user's";
      break;
    case Change::kOpen:
      if (open_conversation(blocks, format.opening_turn)) {
        words = fmt::format(R"(the user opens with "{}")", format.opening_turn);
      }
      break;
    case Change::kInnerSystemAsUser:
      if (give(blocks, "system", "user", 1)) words = "system turns behind the first message are the user's";
      break;
    case Change::kSystemAsUser:
      if (give(blocks, "system", "user")) words = "system turns are the user's";
      break;
  }
  if (!words.empty()) arrangement.changes.push_back(words);
  auto merged = merge_equal_roles(blocks);
  const bool fewer = merged.size() < blocks.size();
  constexpr std::string_view kMerged = "neighbours of one role are one message";
  const auto& changes = arrangement.changes;
  if (fewer && std::find(changes.begin(), changes.end(), kMerged) == changes.end()) {
    arrangement.changes.emplace_back(kMerged);
  }
  blocks = std::move(merged);
  return fewer || !words.empty();
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
  messages.reserve(blocks.size());
  for (const auto& block : blocks) messages.push_back({block.role, joined(block.pieces)});
  BH_TRY(const auto parts, engine::render_opaque(tokenizer, messages, open_assistant_turn));
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

// The block that a refusal is about: the last of the shortest beginning that is refused.
std::string refused_source(std::span<const Block> blocks, const Tokenizer& tokenizer) {
  std::size_t taken = 0;
  std::size_t refused = blocks.size();
  while (refused - taken > 1) {
    const auto middle = taken + (refused - taken) / 2;
    (render(blocks.first(middle), tokenizer, false).ok() ? taken : refused) = middle;
  }
  return blocks[refused - 1].source;
}

Error refusal(Error error, std::span<const Block> blocks, const Format& format, const Tokenizer& tokenizer) {
  constexpr std::string_view kMessage = "message ";
  if (error.place.starts_with(kMessage)) {
    const auto number = static_cast<std::size_t>(std::atoll(error.place.c_str() + kMessage.size()));
    error.place = blocks[std::min(number, blocks.size() - 1)].source;
  } else if (error.place.empty()) {
    error.place = refused_source(blocks, tokenizer);
  }
  if (format.opening_turn.empty() && blocks.front().role == "assistant") {
    error.advice = "give the format an \"opening_turn\": the assistant begins here";
  }
  return error;
}

Result<Layout> lay_out_chat(const Format& format, std::span<const Block> blocks, const Tokenizer& tokenizer,
                            bool open_assistant_turn) {
  Layout layout;
  if (blocks.empty()) {
    append_bos(layout.tokens, tokenizer);
    return layout;
  }
  const auto refused = [](const auto& result) {
    return !result.ok() && result.error().code == ErrorCode::kUnsupported;
  };
  auto as_is = render(blocks, tokenizer, open_assistant_turn);
  auto tokens = as_is;
  Arrangement arrangement{{blocks.begin(), blocks.end()}};
  for (const auto change : kChanges) {
    if (!refused(tokens)) break;
    if (make_change(change, format, arrangement)) tokens = render(arrangement.blocks, tokenizer, open_assistant_turn);
  }
  if (refused(tokens)) return refusal(as_is.error(), blocks, format, tokenizer);
  BH_TRY(layout.tokens, std::move(tokens));
  layout.changes = std::move(arrangement.changes);
  return layout;
}

}  // namespace

std::vector<Block> context_blocks(const Format& format, const Scenario& scenario, const ContextContent& content,
                                  const std::map<std::string, std::string>& messages) {
  std::vector<Block> blocks;
  if (content.instruction) {
    blocks.push_back(
        block_of(format.instruction_role, origin_of(OriginKind::kInstruction), instruction_text(format, scenario)));
    blocks.back().source = "the instruction";
  }
  auto received = message_block(format.message, content.messages_from, messages);
  if (!received.pieces.empty()) {
    received.source = "the messages received";
    blocks.push_back(std::move(received));
  }
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
  auto block = block_of("user", origin_of(OriginKind::kPrompt, 0, label), format.prompt_prefix + text);
  block.source = label.empty() ? "the prompt" : fmt::format("the prompt of output {}", label);
  return block;
}

Result<Layout> lay_out(const Format& format, std::span<const Block> blocks, const Tokenizer& tokenizer,
                       bool open_assistant_turn) {
  if (format.rendering == Rendering::kChat) return lay_out_chat(format, blocks, tokenizer, open_assistant_turn);
  BH_TRY(auto tokens, assemble_raw(format, blocks, tokenizer));
  return Layout{std::move(tokens)};
}

Result<TracedTokens> assemble(const Format& format, std::span<const Block> blocks, const Tokenizer& tokenizer,
                              bool open_assistant_turn) {
  BH_TRY(auto layout, lay_out(format, blocks, tokenizer, open_assistant_turn));
  return std::move(layout.tokens);
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
