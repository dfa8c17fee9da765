// SPDX-License-Identifier: MIT
#include "dataset/dataset.h"

#include "base/hash.h"

namespace bulkhead::dataset {

std::string_view name(QuestionKind kind) noexcept {
  switch (kind) {
    case QuestionKind::kOwn: return "own";
    case QuestionKind::kUpdated: return "updated";
    case QuestionKind::kAbsent: return "absent";
    case QuestionKind::kRelay: return "relay";
    case QuestionKind::kCompare: return "compare";
    case QuestionKind::kSum: return "sum";
  }
  return "";
}

bool needs_messages(QuestionKind kind) noexcept {
  return kind == QuestionKind::kRelay || kind == QuestionKind::kCompare || kind == QuestionKind::kSum;
}

const Fact* current_fact(const Conversation& conversation, std::string_view cluster, std::string_view entity,
                         std::string_view slot) noexcept {
  const Fact* last = nullptr;
  for (const auto& fact : conversation.facts) {
    if (fact.cluster == cluster && fact.entity == entity && fact.slot == slot) last = &fact;
  }
  return last;
}

Result<Dataset> read_scenario_file(const std::string& text, const std::string& name) {
  Dataset dataset{.name = name, .sha256 = sha256_hex(text), .conversations = {}};
  Conversation conversation;
  BH_TRY(conversation.scenario, conversation::parse_scenario(text, name));
  dataset.conversations.push_back(std::move(conversation));
  return dataset;
}

Result<Dataset> load_dataset(const std::string& path) {
  BH_TRY(const auto text, read_text_file(path));
  const auto first_line = text.substr(0, text.find('\n'));
  // A line that is a whole object tells JSON lines from one document; the fields tell the rest.
  const auto line = parse_json(first_line);
  if (line.ok() && line->contains("scenario")) return read_jsonl(text, path);
  if (line.ok() && line->contains("conversations")) return read_sharegpt(text, path);
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin != std::string::npos && text[begin] == '[') return read_sharegpt(text, path);
  if (text.find("\"semantic_clusters\"") != std::string::npos) return read_scenario_file(text, path);
  return Error{ErrorCode::kBadInput, "this is no data set that is known here", path,
               "JSON lines of ours (datasets/bulkhead-bench/README.md), ShareGPT, or one scenario file"};
}

}  // namespace bulkhead::dataset
