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
  bool names_topics = true;           // false: the file says nothing of topics, so all turns are of one cluster "all"
  int difficulty = 0;                 // 1 to 3 in our own set; 0: not said
  std::vector<std::string> canaries;  // [n_clusters] a string that stands in this cluster's turns only; or empty
  std::vector<Fact> facts;            // in the order of their turns
  std::vector<Question> questions;
};

// Something of the file that is not in the conversations, or is there under another name.
struct Notice {
  std::string conversation;  // Scenario::id
  int turn = 0;              // Turn::id; 0: it belongs to no turn that was kept
  std::string what;          // "a picture is left out"
  std::string place;         // file, line and field; empty beyond the first 100 notices of a file
  friend bool operator==(const Notice&, const Notice&) = default;
};

struct Dataset {
  std::string name;    // of the file, in UTF-8
  std::string sha256;  // of the file's bytes
  std::string format;  // name of the format of its first conversation (conversation_format.h)
  std::vector<Conversation> conversations;
  std::vector<Notice> notices;
};

// Reads conversations in any format of conversation_format.h (docs/conversation-formats.md), told apart by what they
// hold: one JSON value, or one a line; a list of conversations is as many. `name` stands for the file in messages. A
// byte order mark and blank lines are passed over. Ids are used once: of two equal conversations with one id the second
// is left out, another conversation gets another id, and a notice says so; our own formats are refused instead.
// kBadInput, with file, line and field, for what breaks the format; an input without a conversation is kBadInput too.
[[nodiscard]] Result<Dataset> read_dataset(const std::string& text, const std::string& name);

// The same from a file, a pipe, or "-" for standard input. 64 MiB at most.
[[nodiscard]] Result<Dataset> load_dataset(const std::string& path);

// One line of our own format (datasets/bulkhead-bench/conversation.schema.json), without the line feed.
[[nodiscard]] std::string to_json_line(const Conversation& conversation);

// The value that the facts give for (cluster, entity, slot): the last one stated, or null.
[[nodiscard]] const Fact* current_fact(const Conversation& conversation, std::string_view cluster,
                                       std::string_view entity, std::string_view slot) noexcept;

}  // namespace bulkhead::dataset
