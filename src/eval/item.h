// SPDX-License-Identifier: MIT
// Item: what is asked of a conversation, whatever the condition: each of its questions, each cluster's reference
// text, and an output and a sample for each reference text where they are asked for.
#pragma once

#include "dataset/dataset.h"
#include "engine/engine.h"
#include "eval/cell.h"

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::eval {

struct Item {
  std::string id;                          // CellKey::item
  std::string kind;                        // Cell::kind
  std::string cluster;                     // in whose context it is asked
  std::string prompt;                      // what the user says
  std::string lead;                        // begins the answer; may be empty
  std::vector<Candidate> candidates;       // without scores, by value
  std::uint32_t output_tokens = 0;         // most tokens that are written; 0: scored, not written
  std::uint32_t sample_tokens = 0;         // most tokens of a sample; 0: it is none
  std::vector<engine::Token> sample = {};  // its tokens, once it has been drawn: its text might be cut otherwise
};

// Most tokens of each; 0: there are none.
struct TextLengths {
  std::uint32_t output = 0;
  std::uint32_t sample = 0;
};

// Items in the order of the questions, then references, outputs, samples (not drawn yet); `kinds` empty: all, else
// those of these kinds. Clusters without a reference text have none of the three. Outputs and samples answer the prompt
// of the reference.
[[nodiscard]] std::vector<Item> items_of(const dataset::Conversation& conversation,
                                         const std::vector<std::string>& kinds, const TextLengths& lengths = {});

}  // namespace bulkhead::eval
