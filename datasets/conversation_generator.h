// SPDX-License-Identifier: MIT
// Makes the conversations of bulkhead-bench: the same tables and seed give the same bytes on every machine.
#pragma once

#include "dataset/dataset.h"
#include "source_tables.h"

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::bench_dataset {

struct Shape {
  std::string id;      // of the conversation
  int clusters = 3;    // 3 to 7
  int turns = 15;      // at least 2 for each cluster
  int difficulty = 1;  // 1: topic named in every turn, runs of one topic, one correction.
                       // 2: named where it changes, runs of 1 to 3 turns, corrections in half of the clusters.
                       // 3: named once, then known by its words only; topics alternate; every cluster corrects, one
                       //    twice; colliding amounts lie close together.
};

// The 15 shapes of a domain: difficulty, size and number of clusters are crossed.
[[nodiscard]] std::vector<Shape> shapes_of_domain(const std::string& domain, int number);

// One conversation. Within it every value (amount, person, date, place) is used once, so that an answer tells which
// cluster and which fact it came from.
[[nodiscard]] dataset::Conversation make_conversation(const Domain& domain, const Grammar& grammar, const Shape& shape,
                                                      std::uint64_t seed);

// All domains, 15 conversations each.
[[nodiscard]] std::vector<dataset::Conversation> make_conversations(const SourceTables& tables, std::uint64_t seed);

}  // namespace bulkhead::bench_dataset
