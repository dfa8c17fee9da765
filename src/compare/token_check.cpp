// SPDX-License-Identifier: MIT
#include "compare/token_check.h"

#include "compare/comparison.h"
#include "report/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace bulkhead::compare {
namespace {

using engine::CallKind;
using engine::Token;
using report::count;
using report::flag;
using report::list;
using report::text;

// One output in one entry's document, with the partition its context lies in.
struct Place {
  const Json* output = nullptr;
  const Json* partition = nullptr;
};

const Json* condition_named(const Json& run, const std::string& name) {
  for (const auto& condition : list(run, "conditions")) {
    if (text(condition, "name") == name) return &condition;
  }
  return nullptr;
}

Place place_of(const Json& run, const std::string& condition_name, const std::string& label) {
  Place place;
  const auto* condition = condition_named(run, condition_name);
  if (condition == nullptr) return place;
  for (const auto& output : list(*condition, "outputs")) {
    if (text(output, "label") == label) place.output = &output;
  }
  if (place.output == nullptr) return place;
  const auto own = text(*place.output, "partition");
  for (const auto& partition : list(*condition, "partitions")) {
    const auto name = text(partition, "name");
    if (own == name || own == name + "/" + label) place.partition = &partition;
  }
  return place;
}

bool same_messages(const Place& one, const Place& two) {
  if (one.partition == nullptr || two.partition == nullptr) return true;
  const auto& first = list(*one.partition, "messages");
  const auto& second = list(*two.partition, "messages");
  return std::equal(first.begin(), first.end(), second.begin(), second.end(),
                    [](const Json& a, const Json& b) { return text(a, "sha256") == text(b, "sha256"); });
}

Json token_or_null(const std::vector<Token>& tokens, std::size_t at) {
  return at < tokens.size() ? Json(tokens[at]) : Json(nullptr);
}

// The first token that differs between the inputs of entries 0 and `other`.
Result<Json> difference(const std::vector<Entry>& entries, std::size_t other, std::size_t run,
                        const std::string& partition, const TokenSource& source) {
  Json found = {{"engine", entries[other].name}, {"at", nullptr}, {"tokens", nullptr}, {"spellings", nullptr}};
  if (!source.input) return found;
  BH_TRY(const auto first, source.input(0, run, partition));
  BH_TRY(const auto second, source.input(other, run, partition));
  const auto [one, two] = std::mismatch(first.begin(), first.end(), second.begin(), second.end());
  const auto at = static_cast<std::size_t>(one - first.begin());
  found["at"] = at;
  found["tokens"] = {token_or_null(first, at), token_or_null(second, at)};
  if (source.spelling) {
    found["spellings"] = {one == first.end() ? Json(nullptr) : Json(source.spelling(0, *one)),
                          two == second.end() ? Json(nullptr) : Json(source.spelling(other, *two))};
  }
  return found;
}

Result<Json> check_output(const std::vector<Entry>& entries, std::size_t run, const std::string& condition,
                          const std::string& label, const TokenSource& source) {
  Json tokens = Json::array();
  Json sums = Json::array();
  Json differences = Json::array();
  std::string status = "equal";
  std::vector<Place> places;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto place = place_of(list(entries[i].results, "runs")[run], condition, label);
    if (place.output == nullptr || text(*place.output, "input_sha256").empty()) {
      return Error{
          ErrorCode::kBadInput,
          fmt::format("output {} of {} is not there, or does not say what it was generated from", label, condition),
          entries[i].folder, "run it again with this program"};
    }
    places.push_back(place);
    tokens.push_back(count(*place.output, "input_tokens"));
    sums.push_back(text(*place.output, "input_sha256"));
    if (sums[i] == sums[0]) continue;
    if (!same_messages(places[0], place)) {
      if (status == "equal") status = "other messages";
      continue;
    }
    status = "different";
    BH_TRY(auto found, difference(entries, i, run, text(*place.output, "partition"), source));
    differences.push_back(std::move(found));
  }
  return Json{{"condition", condition}, {"label", label},   {"tokens", tokens},
              {"sha256", sums},         {"status", status}, {"differences", differences}};
}

// "12 (\"the\")", "12", or "no token".
std::string words_for(const Json& difference, std::size_t side) {
  const auto& token = list(difference, "tokens").at(side);
  if (token.is_null()) return "no more token";
  const auto& spellings = list(difference, "spellings");
  const auto spelled = spellings.size() > side && spellings[side].is_string() ? spellings[side].get<std::string>() : "";
  return spelled.empty() ? json_text(token) : fmt::format("{} (\"{}\")", json_text(token), report::one_line(spelled));
}

}  // namespace

Result<std::vector<Token>> input_in(const engine::Transcript& transcript, const std::string& partition,
                                    std::size_t run) {
  std::map<std::uint32_t, std::vector<Token>> sequences;
  std::map<std::uint32_t, std::string> names;
  std::size_t seen = 0;
  for (const auto& call : transcript.calls) {
    if (call.outcome != "ok") continue;
    auto& tokens = sequences[call.sequence];
    if (call.kind == CallKind::kOpen || call.kind == CallKind::kFork) names[call.sequence] = call.partition;
    if (call.kind == CallKind::kFork) {
      const auto& source = sequences[call.source];
      tokens.assign(source.begin(), source.begin() + std::min<std::ptrdiff_t>(call.at, std::ssize(source)));
    }
    if (call.kind == CallKind::kGenerate && names[call.sequence] == partition && seen++ == run) return tokens;
    if (call.kind == CallKind::kClose) {
      sequences.erase(call.sequence);
    } else {
      tokens.insert(tokens.end(), call.tokens.begin(), call.tokens.end());
    }
  }
  return Error{
      ErrorCode::kBadInput, fmt::format("the transcript has no generation {} in {}", run + 1, partition), {}, {}};
}

Result<Json> check_tokens(const std::vector<Entry>& entries, const TokenSource& source) {
  Json rows = Json::array();
  const auto& runs = list(entries.front().results, "runs");
  for (std::size_t run = 0; run < runs.size(); ++run) {
    for (const auto& condition : list(runs[run], "conditions")) {
      for (const auto& output : list(condition, "outputs")) {
        BH_TRY(auto row, check_output(entries, run, text(condition, "name"), text(output, "label"), source));
        row["seed"] = count(runs[run], "seed");
        row["greedy"] = flag(runs[run], "greedy");
        rows.push_back(std::move(row));
      }
    }
  }
  return rows;
}

Result<void> refuse_differences(const Json& rows, const std::vector<Entry>& entries) {
  for (const auto& row : rows) {
    if (text(row, "status") != "different") continue;
    const auto& first = list(row, "differences").front();
    const auto where = fmt::format("{}, output {}", text(row, "condition"), text(row, "label"));
    std::string words =
        fmt::format("{} and {} were given different tokens", entries.front().name, text(first, "engine"));
    if (!first["at"].is_null()) {
      words += fmt::format(": token {} is {} in the first and {} in the second", first["at"].get<std::size_t>(),
                           words_for(first, 0), words_for(first, 1));
    }
    return Error{ErrorCode::kBadInput, words, where,
                 "compare models with the same tokenizer, or go on with --allow-token-differences"};
  }
  return {};
}

}  // namespace bulkhead::compare
