// SPDX-License-Identifier: MIT
// Cell: the smallest result of an evaluation: one question, reference text, output or sample under one condition.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "eval/output.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::eval {

// What a candidate answer is to the question.
enum class Standing {
  kRight,   // the answer
  kOwn,     // wrong, but of the question's own cluster or of one that the answer rests on: an old value, half of a sum
  kForeign  // the value of another cluster: choosing it is an intrusion
};
[[nodiscard]] std::string_view name(Standing standing) noexcept;  // "right", "own", "foreign"

// An answer that was scored, as the continuation of the question's lead.
struct Candidate {
  std::string value;
  std::string cluster;  // whose value it is; empty for the right answer
  Standing standing = Standing::kRight;
  double log_probability = 0;  // natural, of all its tokens together
  std::uint32_t tokens = 0;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

struct CellKey {
  std::string conversation;
  std::string condition;
  std::string item;  // "q3", "reference:c1", "output:c1" or "sample:c1"
  friend auto operator<=>(const CellKey&, const CellKey&) = default;
};

struct Cell {
  CellKey key;
  std::string domain;
  int difficulty = 0;
  std::string kind;     // a dataset::QuestionKind's name, "reference", "output" or "sample"
  std::string cluster;  // in whose context it is asked
  std::string context;
  std::uint32_t context_tokens = 0;   // prefilled once for all items of this context
  std::uint32_t item_tokens = 0;      // prefilled, scored and generated for this item alone
  double seconds = 0;                 // for this item alone
  std::vector<Candidate> candidates;  // in the order of their values, so that a tie favours nobody; a reference
                                      // and a sample have one, an output none
  std::optional<Output> output = {};  // of an output only
  friend bool operator==(const Cell&, const Cell&) = default;
};

inline constexpr std::string_view kReferenceKind = "reference";
inline constexpr std::string_view kOutputKind = "output";
inline constexpr std::string_view kSampleKind = "sample";

// None of the three: candidates are chosen from.
[[nodiscard]] bool is_question(const Cell& cell) noexcept;

// How candidates of unequal length are compared.
enum class Scoring {
  kPerToken,  // log probability by token: the primary one
  kTotal      // of the whole answer
};

// The candidate with the highest score, the first of equals. Not for outputs.
[[nodiscard]] const Candidate& chosen(const Cell& cell, Scoring scoring);

[[nodiscard]] Json to_json(const std::vector<Candidate>& candidates);
// kCorrupt when `text` is not what to_json() makes.
[[nodiscard]] Result<std::vector<Candidate>> candidates_from_json(const std::string& text);

}  // namespace bulkhead::eval
