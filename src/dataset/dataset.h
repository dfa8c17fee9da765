// SPDX-License-Identifier: MIT
// Data set: conversations with what is needed to mark answers about them: facts, questions with exact answers,
// canaries. docs and licence of our own set: datasets/bulkhead-bench/README.md.
//
// Thread rule: plain values.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "conversation/scenario.h"

#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::dataset {

// One statement of a conversation: in this cluster, `slot` of `entity` is `value`. A later fact of the same cluster,
// entity and slot replaces an earlier one; it says nothing about other clusters.
struct Fact {
  std::string cluster;
  int turn = 0;  // Turn::id; a turn of the cluster
  std::string entity;
  std::string slot;
  std::string value;  // as it stands in the turn's text
  friend bool operator==(const Fact&, const Fact&) = default;
};

enum class QuestionKind {
  kOwn,      // a fact of the question's own cluster, stated once
  kUpdated,  // the same, corrected since
  kAbsent,   // a fact that only other clusters state; right answer: not known here
  kRelay,    // a fact of another cluster, which the own cluster can know by its message only
  kCompare,  // in which of two other clusters a value is higher
  kSum       // two other clusters' values together
};
[[nodiscard]] std::string_view name(QuestionKind kind) noexcept;  // "own", "updated", "absent", "relay", ...

// kRelay, kCompare and kSum.
[[nodiscard]] bool needs_messages(QuestionKind kind) noexcept;

// A wrong answer, and the cluster whose value it is. The question's own cluster: a value that was corrected.
struct Distractor {
  std::string cluster;
  std::string value;
  friend bool operator==(const Distractor&, const Distractor&) = default;
};

struct Question {
  std::string id;       // unique in its conversation
  std::string cluster;  // in whose context it is asked
  QuestionKind kind = QuestionKind::kOwn;
  std::string entity;
  std::string slot;
  std::string text;
  std::string lead;  // begins the answer, so that each candidate continues it; may be empty
  std::string answer;
  std::vector<Distractor> distractors;  // all differ from the answer; never empty
  std::vector<std::string> sources;     // clusters whose facts the answer rests on
  friend bool operator==(const Question&, const Question&) = default;
};

struct Conversation {
  conversation::Scenario scenario;    // turns and clusters; Cluster::expected_output is the reference text
  int difficulty = 0;                 // 1 to 3 in our own set; 0: not said
  std::vector<std::string> canaries;  // [n_clusters] a string that stands in this cluster's turns only; or empty
  std::vector<Fact> facts;            // in the order of their turns
  std::vector<Question> questions;
};

struct Dataset {
  std::string name;    // of the file
  std::string sha256;  // of the file's bytes
  std::vector<Conversation> conversations;
};

// Readers of three formats. `name` stands for the file in messages. kBadInput, with file, line and field, for what
// breaks the format; an empty data set is kBadInput too.

// One JSON object a line (datasets/bulkhead-bench/conversation.schema.json). Beyond the form, checked are: conversation
// and question ids used once; clusters and turns that exist; facts in turns of their cluster, which hold the value;
// answers that differ from the distractors.
[[nodiscard]] Result<Dataset> read_jsonl(const std::string& text, const std::string& name);
// ShareGPT: a list of {"id", "conversations": [{"from", "value"}]}, or one such object a line. It knows no topics: all
// turns are of one cluster "all". Empty utterances are left out.
[[nodiscard]] Result<Dataset> read_sharegpt(const std::string& text, const std::string& name);
// One scenario file, the seed's layout included: a data set of one conversation without questions.
[[nodiscard]] Result<Dataset> read_scenario_file(const std::string& text, const std::string& name);

// Reads a file in whichever of the three formats its first object has. 64 MiB at most.
[[nodiscard]] Result<Dataset> load_dataset(const std::string& path);

// One line of read_jsonl's format, without the line feed.
[[nodiscard]] std::string to_json_line(const Conversation& conversation);

// The value that the facts give for (cluster, entity, slot): the last one stated, or null.
[[nodiscard]] const Fact* current_fact(const Conversation& conversation, std::string_view cluster,
                                       std::string_view entity, std::string_view slot) noexcept;

}  // namespace bulkhead::dataset
