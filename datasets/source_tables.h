// SPDX-License-Identifier: MIT
// The data that bulkhead-bench is made from: fact tables of a domain and the phrase grammar that all domains share.
// Files: datasets/bulkhead-bench/source/*.json.
#pragma once

#include "base/result.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace bulkhead::bench_dataset {

enum class SlotKind { kAmount, kPerson, kDate, kPlace };

// What can be said of an entity: "the yearly licence fee of {entity}", in euros, between two bounds.
struct Slot {
  std::string id;
  SlotKind kind = SlotKind::kAmount;
  std::string subject;  // with {entity}
  std::string unit;     // kAmount
  int low = 0;          // kAmount: smallest, largest and distance of values
  int high = 0;
  int step = 1;
};

struct Topic {
  std::string name;                // "the login rewrite"
  std::vector<std::string> terms;  // words of this topic and of no other of the domain
};

struct Domain {
  std::string name;
  std::vector<std::string> entities;
  std::vector<Slot> slots;
  std::vector<Topic> topics;
};

struct Phrases {
  std::vector<std::string> statements;   // {subject} or {Subject}, {value}
  std::vector<std::string> corrections;  // and {old}
  std::string reference;
  std::string question;  // {topic}, {subject}
  std::string lead;
};

struct Grammar {
  std::vector<std::string> openers;    // {topic}
  std::vector<std::string> namings;    // {topic}
  std::vector<std::string> reminders;  // {term}
  std::vector<std::string> remarks;    // {term}
  std::vector<std::string> replies;    // {term}
  std::string canary;                  // {canary}
  std::string reference_opening;       // {topic}
  std::map<SlotKind, Phrases> phrases;
  std::string sum_question;  // {subject}, {first}, {second}
  std::string sum_lead;
  std::string compare_question;
  std::string compare_lead;
  std::string absent_answer;
  std::vector<std::string> first_names;
  std::vector<std::string> last_names;
  std::vector<std::string> places;
  std::vector<std::string> months;
};

struct SourceTables {
  Grammar grammar;
  std::vector<Domain> domains;  // by name
};

// Reads grammar.json and every other *.json of the folder. kBadInput, with file and field, where one breaks the form.
[[nodiscard]] Result<SourceTables> read_source_tables(const std::filesystem::path& folder);

// `text` with every {name} of `values` replaced; {Name} takes the value with a capital first letter.
[[nodiscard]] std::string fill(std::string text, const std::map<std::string, std::string>& values);

}  // namespace bulkhead::bench_dataset
