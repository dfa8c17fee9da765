// SPDX-License-Identifier: MIT
// Facets: the cells of an evaluation cut by domain, difficulty, number of clusters and number of turns of their
// conversations, by the place of the asked cluster among the clusters, and by how long ago its fact was stated. They
// describe; what was to be shown is tested on all conversations (comparison.h).
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "dataset/dataset.h"
#include "eval/cell.h"
#include "eval/comparison.h"

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::eval {

// What the cuts need to know of a conversation.
struct ConversationSize {
  std::size_t clusters = 0;
  std::size_t turns = 0;
  std::map<std::string, std::string> places = {};       // cluster -> "first", "middle", "last" in the data set's order
  std::map<std::string, std::size_t> turns_since = {};  // question -> turns of all topics after the one with its fact
};
using ConversationSizes = std::map<std::string, ConversationSize>;  // by conversation id
[[nodiscard]] ConversationSizes sizes_of(const dataset::Dataset& dataset);

// The cells of one group: "domain" "health", or "clusters" 5.
struct FacetGroup {
  std::string_view facet;  // "domain", "difficulty", "clusters", "turns", "place", "distance"
  std::string group;       // "health", "5"
  std::vector<const Cell*> cells;
};

// By facet, then by group: numbers by size, words by letter. Cells of conversations that `sizes` lacks are in no group
// of clusters, turns, place or distance. A group of distance is named by the fewest turns in it: 0, 5, 10, 20. Only own
// and updated questions have one: the others rest on no single fact of their cluster.
[[nodiscard]] std::vector<FacetGroup> facet_groups(const std::vector<const Cell*>& cells,
                                                   const ConversationSizes& sizes);

// For each group, and for each kind of question (facet "kind"): intrusions and right answers of each condition against
// semantic, with the bootstrap interval of the difference, null with fewer than two conversations. No tests: nobody
// fixed these beforehand.
[[nodiscard]] Result<Json> facet_differences(const std::vector<Cell>& cells, const ConversationSizes& sizes,
                                             const AnalysisPlan& plan);

}  // namespace bulkhead::eval
