// SPDX-License-Identifier: MIT
#include "eval/cell.h"

#include <algorithm>
#include <array>

namespace bulkhead::eval {
namespace {

constexpr std::array kStandings = {Standing::kRight, Standing::kOwn, Standing::kForeign};

double score(const Candidate& candidate, Scoring scoring) {
  return scoring == Scoring::kTotal ? candidate.log_probability : candidate.log_probability / candidate.tokens;
}

Result<Candidate> read_candidate(const JsonView& view) {
  Candidate candidate;
  BH_TRY(candidate.value, view.string_or("value", {}));
  BH_TRY(candidate.cluster, view.string_or("cluster", {}));
  BH_TRY(const auto word, view.string_or("standing", {}));
  const auto* found = std::find_if(kStandings.begin(), kStandings.end(), [&](auto one) { return name(one) == word; });
  if (found == kStandings.end()) return view.fail("unknown standing");
  candidate.standing = *found;
  BH_TRY(const auto log_probability, view.at("log_probability"));
  BH_TRY(candidate.log_probability, log_probability.number());
  BH_TRY(const auto tokens_view, view.at("tokens"));
  BH_TRY(const auto tokens, tokens_view.integer(1, 1 << 24));
  candidate.tokens = static_cast<std::uint32_t>(tokens);
  return candidate;
}

Result<std::vector<Candidate>> read_candidates(const std::string& text) {
  BH_TRY(const auto document, JsonDocument::parse(text, "candidates"));
  BH_TRY(const auto items, JsonView(document).items());
  std::vector<Candidate> candidates;
  for (const auto& item : items) {
    BH_TRY(auto candidate, read_candidate(item));
    candidates.push_back(std::move(candidate));
  }
  if (candidates.empty()) return JsonView(document).fail("there are no candidates");
  return candidates;
}

}  // namespace

std::string_view name(Standing standing) noexcept {
  switch (standing) {
    case Standing::kRight: return "right";
    case Standing::kOwn: return "own";
    case Standing::kForeign: return "foreign";
  }
  return "";
}

bool is_question(const Cell& cell) noexcept {
  return cell.kind != kReferenceKind && cell.kind != kOutputKind && cell.kind != kSampleKind;
}

const Candidate& chosen(const Cell& cell, Scoring scoring) {
  return *std::max_element(cell.candidates.begin(), cell.candidates.end(), [&](const auto& one, const auto& other) {
    return score(one, scoring) < score(other, scoring);
  });
}

Json to_json(const std::vector<Candidate>& candidates) {
  Json list = Json::array();
  for (const auto& one : candidates) {
    list.push_back({{"value", one.value},
                    {"cluster", one.cluster},
                    {"standing", name(one.standing)},
                    {"log_probability", one.log_probability},
                    {"tokens", one.tokens}});
  }
  return list;
}

Result<std::vector<Candidate>> candidates_from_json(const std::string& text) {
  auto candidates = read_candidates(text);
  if (!candidates.ok()) {
    auto error = candidates.error();
    error.code = ErrorCode::kCorrupt;
    return error;
  }
  return candidates;
}

}  // namespace bulkhead::eval
