// SPDX-License-Identifier: MIT
// Item: what is asked of a conversation, whatever the condition: each of its questions, and each cluster's reference
// text.
#pragma once

#include "dataset/dataset.h"
#include "eval/cell.h"

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
};

// Items in the order of the questions, references last; `kinds` empty: all, else those of these kinds. Clusters without
// a reference text have no reference item.
[[nodiscard]] std::vector<Item> items_of(const dataset::Conversation& conversation,
                                         const std::vector<std::string>& kinds);

}  // namespace bulkhead::eval
