// SPDX-License-Identifier: MIT
// Item: what is asked of a conversation, whatever the condition: each of its questions, each cluster's reference
// text, and an output for each reference text where outputs are asked for.
#pragma once

#include "dataset/dataset.h"
#include "eval/cell.h"

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::eval {

struct Item {
  std::string id;                     // CellKey::item
  std::string kind;                   // Cell::kind
  std::string cluster;                // in whose context it is asked
  std::string prompt;                 // what the user says
  std::string lead;                   // begins the answer; may be empty
  std::vector<Candidate> candidates;  // without scores, by value
  std::uint32_t output_tokens = 0;    // most tokens that are written; 0: scored, not written
};

// Items in the order of the questions, then references, then outputs of `output_tokens` at most (0: none); `kinds`
// empty: all, else those of these kinds. Clusters without a reference text have neither. An output answers the prompt
// of the reference.
[[nodiscard]] std::vector<Item> items_of(const dataset::Conversation& conversation,
                                         const std::vector<std::string>& kinds, std::uint32_t output_tokens = 0);

}  // namespace bulkhead::eval
