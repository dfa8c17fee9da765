// SPDX-License-Identifier: MIT
// Assembly: blocks of text with their origins become one token sequence in which every token keeps its origin.
#pragma once

#include "base/result.h"
#include "conversation/scenario.h"
#include "conversation/traced_tokens.h"
#include "engine/engine.h"
#include "prompt/format.h"

#include <map>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::prompt {

struct Piece {
  conversation::Origin origin;
  std::string text;
};

// What stands together: one turn with its marker, one instruction, all messages with their frame, one prompt.
// Raw whole: texts are joined. Raw per block: tokenized alone. Chat: one chat message.
struct Block {
  std::string role = "user";
  std::vector<Piece> pieces;
  bool separated = false;   // raw whole: the format's separator stands before it (turns but the first)
  std::string source = {};  // what it is, for errors: "turn 2 (cluster tea, assistant)", "the prompt"
};

// What a context shows, before it is text.
struct ContextContent {
  std::vector<int> turns = {};                  // ids, in order
  bool instruction = false;                     // begins with the "prompted" instruction
  bool markers = false;                         // a marker before each turn
  std::vector<std::string> messages_from = {};  // labels of the outputs it receives, before its first turn
};

// The blocks of a context. `messages`: label -> text of the outputs already there; those missing are left out, so that
// a plan can count what is known.
[[nodiscard]] std::vector<Block> context_blocks(const Format& format, const conversation::Scenario& scenario,
                                                const ContextContent& content,
                                                const std::map<std::string, std::string>& messages);

// The block that asks for output `label`; `text` is a prompt_text().
[[nodiscard]] Block prompt_block(const Format& format, const std::string& text, const std::string& label);

// A context as tokens, and what had to be done so that the model's template takes its messages.
struct Layout {
  conversation::TracedTokens tokens;
  std::vector<std::string> changes = {};  // each in words; empty: the messages stand as they are
};

// Tokens of `blocks` in order. A token that covers bytes of two pieces belongs to the one its first byte is in. Where
// the vocabulary spells a text in another way (SentencePiece knows U+2581 only as a space), its tokens stand for it.
// `open_assistant_turn` matters for chat rendering only: the model is to answer next.
// Chat: the template sees roles, never contents (engine/opaque_chat.h). Where it refuses the messages, this is tried,
// each step on top of those before it: neighbours of one role become one message; developer turns the system's, tool
// turns the user's; the format's opening turn stands before a conversation that the assistant begins; system turns
// behind the first message become the user's, then all of them. kUnsupported: chat rendering without a template, or one
// that refuses all of this; the place names the turn. kCorrupt: the template is broken or exceeds its limits.
// kBadInput: the vocabulary cannot spell a text.
[[nodiscard]] Result<Layout> lay_out(const Format& format, std::span<const Block> blocks,
                                     const engine::Tokenizer& tokenizer, bool open_assistant_turn);

// The tokens of lay_out().
[[nodiscard]] Result<conversation::TracedTokens> assemble(const Format& format, std::span<const Block> blocks,
                                                          const engine::Tokenizer& tokenizer, bool open_assistant_turn);

// The text of `blocks` as the format joins it, for people to read; chat rendering shows the plain contents.
[[nodiscard]] std::string plain_text(const Format& format, std::span<const Block> blocks);

}  // namespace bulkhead::prompt
