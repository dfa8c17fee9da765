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
  bool separated = false;  // raw whole: the format's separator stands before it (turns but the first)
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

// Tokens of `blocks` in order. A token that covers bytes of two pieces belongs to the one its first byte is in.
// `open_assistant_turn` matters for chat rendering only: the model is to answer next.
// Chat: a template that refuses these messages gets neighbours of one role merged, joined by an empty line; one that
// refuses that too gets system messages as the user's. Content that the template leaves out counts as refused.
// kUnsupported: chat rendering without a template, or one that refuses all of this. kInternal: the tokenizer's pieces
// do not spell the text.
[[nodiscard]] Result<conversation::TracedTokens> assemble(const Format& format, std::span<const Block> blocks,
                                                          const engine::Tokenizer& tokenizer, bool open_assistant_turn);

// The text of `blocks` as the format joins it, for people to read; chat rendering shows the plain contents.
[[nodiscard]] std::string plain_text(const Format& format, std::span<const Block> blocks);

}  // namespace bulkhead::prompt
