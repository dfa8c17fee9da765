// SPDX-License-Identifier: MIT
// Reads the facts of bulkhead-bench back from the sentences, with the phrases of source/*.json alone: it shares no code
// with the generator, so that both can only agree if the text says what the facts say.
#pragma once

#include "base/json.h"
#include "dataset/dataset.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::testing {

inline std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

inline std::string capital(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') text.front() = static_cast<char>(text.front() - 32);
  return text;
}

// Whether `words` stand in `text`, not as part of a longer word or number.
inline bool has_words(std::string_view text, std::string_view words) {
  const auto part_of_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ',';
  };
  for (auto at = text.find(words); at != std::string_view::npos; at = text.find(words, at + 1)) {
    const auto end = at + words.size();
    const bool begins = at == 0 || !part_of_word(text[at - 1]);
    const bool ends = end == text.size() || !part_of_word(text[end]) || text[end] == ',';
    if (begins && ends) return true;
  }
  return false;
}

struct SlotPatterns {
  std::string entity;
  std::string slot;
  std::string kind;
  std::string subject;                // "the crew of Umber"
  std::vector<std::string> patterns;  // with {value} and perhaps {old}
};

class FactReader {
 public:
  FactReader(const Json& grammar, const Json& domain) {
    for (const auto& naming : grammar["namings"]) namings_.push_back(naming.get<std::string>());
    for (const auto& entity : domain["entities"]) {
      for (const auto& slot : domain["slots"]) {
        SlotPatterns one{
            entity, slot["id"], slot["kind"], replaced(slot["subject"], "{entity}", entity.get<std::string>()), {}};
        for (const char* const group : {"statements", "corrections"}) {
          for (const auto& pattern : grammar[group][one.kind]) {
            const auto with_subject = replaced(pattern, "{subject}", one.subject);
            one.patterns.push_back(replaced(with_subject, "{Subject}", capital(one.subject)));
          }
        }
        slots_.push_back(std::move(one));
      }
    }
  }

  [[nodiscard]] const std::vector<SlotPatterns>& slots() const { return slots_; }

  [[nodiscard]] std::vector<dataset::Fact> read(const conversation::Scenario& scenario) const {
    std::vector<dataset::Fact> facts;
    for (const auto& turn : scenario.turns) {
      for (const auto& sentence : sentences(turn.text, scenario.find_cluster(turn.cluster)->topic)) {
        for (const auto& slot : slots_) {
          for (const auto& pattern : slot.patterns) {
            if (const auto value = match(pattern, sentence)) {
              facts.push_back({turn.cluster, turn.id, slot.entity, slot.slot, *value});
            }
          }
        }
      }
    }
    return facts;
  }

 private:
  // Without a naming that ends in a colon ("On the flood wall: The crew ...").
  [[nodiscard]] std::vector<std::string> sentences(std::string text, const std::string& topic) const {
    for (const auto& naming : namings_) {
      const auto begin = replaced(naming, "{topic}", topic) + ' ';
      if (begin.ends_with(": ") && text.starts_with(begin)) text = text.substr(begin.size());
    }
    std::vector<std::string> list;
    while (!text.empty()) {
      const auto end = std::min(text.find(". "), text.size() - 1);
      list.push_back(text.substr(0, end + 1));
      text = end + 2 <= text.size() ? text.substr(end + 2) : std::string();
    }
    return list;
  }

  // What stands for {value} if the sentence is the pattern.
  static std::optional<std::string> match(const std::string& pattern, const std::string& sentence) {
    std::map<std::string, std::string> found;
    std::size_t p = 0;
    std::size_t s = 0;
    while (p < pattern.size()) {
      const auto open = std::min(pattern.find('{', p), pattern.size());
      if (sentence.compare(s, open - p, pattern, p, open - p) != 0) return std::nullopt;
      s += open - p;
      if (open == pattern.size()) break;
      const auto close = pattern.find('}', open);
      const auto next = std::min(pattern.find('{', close), pattern.size());
      const auto literal = pattern.substr(close + 1, next - close - 1);
      const auto end = next == pattern.size() ? sentence.size() - std::min(literal.size(), sentence.size())
                                              : sentence.find(literal, s);
      if (end == std::string::npos || end <= s) return std::nullopt;
      found[pattern.substr(open + 1, close - open - 1)] = sentence.substr(s, end - s);
      s = end;
      p = close + 1;
    }
    if (s != sentence.size()) return std::nullopt;
    return found["value"];
  }

  std::vector<std::string> namings_;
  std::vector<SlotPatterns> slots_;
};

}  // namespace bulkhead::testing
