// SPDX-License-Identifier: MIT
// Format: how turns, markers, instructions, messages and prompts become one text. Read from formats/*.json;
// the fields are described in docs/format-files.md.
#pragma once

#include "base/result.h"
#include "conversation/scenario.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::prompt {

enum class Rendering { kRaw, kChat };         // plain text, or the model's chat template
enum class Tokenizing { kWhole, kPerBlock };  // the joined text at once (one BOS), or each block alone

// Templates of one way of asking. Placeholders: {label}, {sources} ("A and B"), {topic}, {turns} ("1-5").
struct PromptSet {
  std::string independent;                      // for a cluster that depends on no other; empty: none
  std::string dependent;                        // for one that does; empty: none
  std::map<std::string, std::string> by_label;  // overrides, by output label
};

// Texts that depend on the topics. Placeholders of the instruction: {topics} ("x and y": the clusters that depend on no
// other), {numbered_topics} (lines "1. x": all clusters).
struct Texts {
  std::string instruction;                   // the "prompted" condition's
  std::map<std::string, PromptSet> prompts;  // by set name: "neutral", "targeted", ...
};

struct MessageFrame {
  std::string prefix;
  std::string item;  // placeholders {label}, {text}
  std::string join;
  std::string suffix;
};

struct Format {
  std::string name;
  std::string description;
  Rendering rendering = Rendering::kRaw;
  Tokenizing tokenizing = Tokenizing::kWhole;
  bool bos_per_block = true;              // raw, per block: a BOS before each block; false: before the first only
  std::string separator;                  // between turns (raw, whole)
  std::string turn_marker;                // placeholder {turn}
  std::string instruction_role = "user";  // chat: who gives the "prompted" condition's instruction
  std::string opening_turn;               // chat: the user's first words where a template wants them; empty: none
  std::string prompt_prefix;              // before every prompt
  bool read_query = true;                 // false: a turn whose text is a query is dropped, its marker stays
  MessageFrame message;
  Texts generic;
  std::optional<Texts> exact;                 // verbatim texts, used when the clusters have exactly these task types
  std::vector<std::string> exact_task_types;  // [n_clusters]
  std::map<std::string, std::string> prompt_set_of_condition;  // condition -> set name; absent: "neutral"
  std::uint32_t new_tokens_independent = 300;
  std::uint32_t new_tokens_dependent = 300;
  std::string sha256;  // of the file's bytes; where it extends another, of both files' bytes
};

// Names of the formats built in, in the order of their files.
[[nodiscard]] std::vector<std::string> builtin_formats();

// A built-in format by name, or one read from a file when `name_or_path` ends in ".json". kUsage for an unknown name
// (with the list), kBadInput for a broken file.
[[nodiscard]] Result<Format> load_format(std::string_view name_or_path);
// The same from memory; `name` stands for the path in messages.
[[nodiscard]] Result<Format> parse_format(std::string text, const std::string& name);

// The text that asks for a cluster's output, without prompt_prefix. `set` empty: the condition's own. Precedence: the
// format's exact texts, the scenario's prompts, the format's templates. kUsage if there is no such set.
[[nodiscard]] Result<std::string> prompt_text(const Format& format, const conversation::Scenario& scenario,
                                              const conversation::Cluster& cluster, std::string_view condition,
                                              std::string_view set);

// The "prompted" condition's instruction for this scenario.
[[nodiscard]] std::string instruction_text(const Format& format, const conversation::Scenario& scenario);

// The marker of one turn.
[[nodiscard]] std::string marker_text(const Format& format, int turn);

}  // namespace bulkhead::prompt
