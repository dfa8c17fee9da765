// SPDX-License-Identifier: MIT
// Scenario: a conversation whose turns are grouped in clusters (topics), read from a JSON file and checked.
// The file format is docs/scenario-format.md and scenarios/scenario.schema.json; the seed experiment's layout is read
// as it is.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::conversation {

// Which field of the file a turn's text was in: formats may leave queries out.
enum class TurnField { kInstruction, kContent, kQuery };

struct Turn {
  int id = 0;
  std::string cluster;  // Cluster::id
  std::string role;     // one of roles() (names.h)
  std::string text;     // valid UTF-8, never empty
  TurnField field = TurnField::kContent;
};

struct Cluster {
  std::string id;                              // key of the file, such as "cluster_1"
  std::string label;                           // "A", "B", ... in file order: its output is "output A"
  std::string topic;                           // a few words for prompts
  std::string task_type;                       // kind of work, such as "synthesis"; may be empty
  std::vector<int> turns;                      // ids, in conversation order, never empty
  std::vector<std::string> depends_on;         // ids of clusters whose outputs it receives; acyclic over the scenario
  std::vector<std::string> terminology;        // words that mark this topic
  std::string expected_output;                 // may be empty
  std::map<std::string, std::string> prompts;  // "neutral", "targeted": text that asks for its output; may be empty
};

struct Scenario {
  std::string id;
  std::string domain;
  std::string description;
  std::vector<Cluster> clusters;  // file order
  std::vector<Turn> turns;        // conversation order
  std::string path;               // where it was read from
  std::string sha256;             // of the file's bytes

  [[nodiscard]] const Cluster* find_cluster(std::string_view cluster_id) const noexcept;
  [[nodiscard]] const Turn* find_turn(int turn_id) const noexcept;
};

// Reads and checks one file. kBadInput, with file, line and field, for everything listed in docs/scenario-format.md:
// duplicate turn ids, unknown cluster, cycle, empty cluster or turn, invalid UTF-8, wrong types.
[[nodiscard]] Result<Scenario> load_scenario(const std::string& path);
// The same from memory; `name` stands for the path in messages.
[[nodiscard]] Result<Scenario> parse_scenario(std::string text, const std::string& name);
// The same from an object inside another document. `path` and `sha256` stay empty.
[[nodiscard]] Result<Scenario> read_scenario(const JsonView& root);

// The scenario in the file format; reading it again gives the same scenario. Labels, path and hash are not written.
[[nodiscard]] Json to_json(const Scenario& scenario);

}  // namespace bulkhead::conversation
