// SPDX-License-Identifier: MIT
#include "source_tables.h"

#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace bulkhead::bench_dataset {
namespace {

constexpr int kLargest = 10'000'000;
constexpr std::array<std::pair<std::string_view, SlotKind>, 4> kKinds = {{{"amount", SlotKind::kAmount},
                                                                          {"person", SlotKind::kPerson},
                                                                          {"date", SlotKind::kDate},
                                                                          {"place", SlotKind::kPlace}}};

Result<std::string> string_at(const JsonView& object, std::string_view key) {
  BH_TRY(const auto view, object.at(key));
  return view.string();
}

Result<std::vector<std::string>> strings_at(const JsonView& object, std::string_view key) {
  BH_TRY(const auto view, object.at(key));
  BH_TRY(auto list, view.strings());
  if (list.empty()) return view.fail("the list is empty");
  return list;
}

Result<int> integer_at(const JsonView& object, std::string_view key) {
  BH_TRY(const auto view, object.at(key));
  BH_TRY(const auto number, view.integer(1, kLargest));
  return static_cast<int>(number);
}

Result<Slot> read_slot(const JsonView& view) {
  Slot slot;
  BH_TRY(slot.id, string_at(view, "id"));
  BH_TRY(slot.subject, string_at(view, "subject"));
  BH_TRY(const auto kind, string_at(view, "kind"));
  const auto* found = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& one) { return one.first == kind; });
  if (found == kKinds.end()) return view.fail(fmt::format("unknown kind \"{}\"", kind));
  slot.kind = found->second;
  if (slot.kind != SlotKind::kAmount) return slot;
  BH_TRY(slot.unit, string_at(view, "unit"));
  BH_TRY(slot.low, integer_at(view, "low"));
  BH_TRY(slot.high, integer_at(view, "high"));
  BH_TRY(slot.step, integer_at(view, "step"));
  if (slot.low >= slot.high) return view.fail(fmt::format("low {} is not below high {}", slot.low, slot.high));
  return slot;
}

Result<Domain> read_domain(const JsonView& root) {
  Domain domain;
  BH_TRY(domain.name, string_at(root, "domain"));
  BH_TRY(domain.entities, strings_at(root, "entities"));
  BH_TRY(const auto slots_view, root.at("slots"));
  BH_TRY(const auto slots, slots_view.items());
  for (const auto& view : slots) {
    BH_TRY(auto slot, read_slot(view));
    domain.slots.push_back(std::move(slot));
  }
  BH_TRY(const auto topics_view, root.at("topics"));
  BH_TRY(const auto topics, topics_view.items());
  for (const auto& view : topics) {
    Topic topic;
    BH_TRY(topic.name, string_at(view, "name"));
    BH_TRY(topic.terms, strings_at(view, "terms"));
    domain.topics.push_back(std::move(topic));
  }
  return domain;
}

Result<Phrases> read_phrases(const JsonView& root, std::string_view kind) {
  Phrases phrases;
  BH_TRY(const auto statements, root.at("statements"));
  BH_TRY(phrases.statements, strings_at(statements, kind));
  BH_TRY(const auto corrections, root.at("corrections"));
  BH_TRY(phrases.corrections, strings_at(corrections, kind));
  BH_TRY(const auto reference, root.at("reference"));
  BH_TRY(phrases.reference, string_at(reference, kind));
  BH_TRY(const auto questions, root.at("questions"));
  BH_TRY(const auto question, questions.at(kind));
  BH_TRY(phrases.question, string_at(question, "text"));
  BH_TRY(phrases.lead, string_at(question, "lead"));
  return phrases;
}

Result<void> read_word_lists(const JsonView& root, Grammar& grammar) {
  BH_TRY(grammar.openers, strings_at(root, "openers"));
  BH_TRY(grammar.namings, strings_at(root, "namings"));
  BH_TRY(grammar.reminders, strings_at(root, "reminders"));
  BH_TRY(grammar.remarks, strings_at(root, "remarks"));
  BH_TRY(grammar.replies, strings_at(root, "replies"));
  BH_TRY(grammar.places, strings_at(root, "places"));
  BH_TRY(grammar.months, strings_at(root, "months"));
  BH_TRY(const auto people, root.at("people"));
  BH_TRY(grammar.first_names, strings_at(people, "first"));
  BH_TRY(grammar.last_names, strings_at(people, "last"));
  return {};
}

Result<Grammar> read_grammar(const JsonView& root) {
  Grammar grammar;
  BH_CHECK(read_word_lists(root, grammar));
  for (const auto& [word, kind] : kKinds) {
    BH_TRY(grammar.phrases[kind], read_phrases(root, word));
  }
  BH_TRY(grammar.canary, string_at(root, "canary"));
  BH_TRY(grammar.absent_answer, string_at(root, "absent_answer"));
  BH_TRY(const auto reference, root.at("reference"));
  BH_TRY(grammar.reference_opening, string_at(reference, "opening"));
  BH_TRY(const auto questions, root.at("questions"));
  BH_TRY(const auto sum, questions.at("sum"));
  BH_TRY(grammar.sum_question, string_at(sum, "text"));
  BH_TRY(grammar.sum_lead, string_at(sum, "lead"));
  BH_TRY(const auto compare, questions.at("compare"));
  BH_TRY(grammar.compare_question, string_at(compare, "text"));
  BH_TRY(grammar.compare_lead, string_at(compare, "lead"));
  return grammar;
}

Result<JsonDocument> read_document(const std::filesystem::path& path) {
  BH_TRY(auto text, read_text_file(path.string()));
  return JsonDocument::parse(std::move(text), path.filename().string());
}

}  // namespace

Result<SourceTables> read_source_tables(const std::filesystem::path& folder) {
  SourceTables tables;
  BH_TRY(const auto grammar, read_document(folder / "grammar.json"));
  BH_TRY(tables.grammar, read_grammar(JsonView(grammar)));
  std::vector<std::filesystem::path> files;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    if (entry.path().extension() == ".json" && entry.path().filename() != "grammar.json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    BH_TRY(const auto document, read_document(file));
    BH_TRY(auto domain, read_domain(JsonView(document)));
    tables.domains.push_back(std::move(domain));
  }
  if (tables.domains.empty()) return Error{ErrorCode::kBadInput, "the folder holds no domain", folder.string(), {}};
  return tables;
}

std::string fill(std::string text, const std::map<std::string, std::string>& values) {
  std::string filled;
  for (std::size_t i = 0; i < text.size();) {
    const auto close = text[i] == '{' ? text.find('}', i) : std::string::npos;
    if (close == std::string::npos) {
      filled += text[i++];
      continue;
    }
    auto name = text.substr(i + 1, close - i - 1);
    const bool capital = std::isupper(static_cast<unsigned char>(name.front())) != 0;
    name.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(name.front())));
    auto value = values.at(name);
    if (capital) value.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(value.front())));
    filled += value;
    i = close + 1;
  }
  return filled;
}

}  // namespace bulkhead::bench_dataset
