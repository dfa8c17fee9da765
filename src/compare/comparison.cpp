// SPDX-License-Identifier: MIT
#include "compare/comparison.h"

#include "base/json.h"
#include "compare/recommendations.h"
#include "compare/reference.h"
#include "measure/repetition.h"
#include "measure/summary.h"
#include "report/view.h"

#include <bulkhead/version.h>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>

namespace bulkhead::compare {
namespace {

using report::count;
using report::flag;
using report::list;
using report::member;
using report::number;
using report::text;

constexpr int kVersion = 1;

Error not_comparable(const Entry& first, const Entry& other, std::string_view what, const Json& one, const Json& two) {
  const auto shown = [](const Json& value) { return json_text(value); };
  return {ErrorCode::kBadInput,
          fmt::format("{} and {} cannot be compared: {} is {} in the first and {} in the second", first.name,
                      other.name, what, shown(one), shown(two)),
          other.folder, "run both with the same scenario and flags"};
}

Json names_of(const Json& items, std::string_view key) {
  Json names = Json::array();
  for (const auto& item : items) names.push_back(text(item, key));
  return names;
}

Json run_key(const Json& run) {
  Json key = {{"scenario", text(member(run, "scenario"), "sha256")},
              {"seed", count(run, "seed")},
              {"greedy", flag(run, "greedy")},
              {"conditions", names_of(list(run, "conditions"), "name")}};
  return key;
}

Result<void> check_comparable(const Entry& first, const Entry& other) {
  const auto& one = first.results;
  const auto& two = other.results;
  for (const auto* key : {"format_sha256", "prompt_set", "sampling"}) {
    const auto& a = member(one, "settings").at(key);
    const auto& b = member(two, "settings").at(key);
    if (a != b) return not_comparable(first, other, fmt::format("settings.{}", key), a, b);
  }
  const auto& runs = list(one, "runs");
  const auto& others = list(two, "runs");
  if (runs.size() != others.size())
    return not_comparable(first, other, "the number of runs", runs.size(), others.size());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (run_key(runs[i]) != run_key(others[i]))
      return not_comparable(first, other, fmt::format("run {}", i + 1), run_key(runs[i]), run_key(others[i]));
  }
  return {};
}

Result<void> check_entries(const std::vector<Entry>& entries) {
  if (entries.empty() || list(entries.front().results, "runs").empty())
    return Error{ErrorCode::kBadInput, "there is no run to compare", {}, {}};
  if (const auto scenarios = report::scenarios_of(entries.front().results).size(); scenarios != 1)
    return Error{ErrorCode::kBadInput, fmt::format("a comparison is of one scenario, these are {}", scenarios), {}, {}};
  for (const auto& entry : entries) BH_CHECK(check_comparable(entries.front(), entry));
  return {};
}

Json summary_json(const std::vector<double>& values) {
  const auto summary = measure::summarize(values);
  return {{"n", summary.n}, {"min", summary.min}, {"median", summary.median}, {"max", summary.max}};
}

Json engine_json(const Entry& entry) {
  const auto& results = entry.results;
  Json seeds = Json::array();
  std::vector<double> walls;
  std::uint64_t kv_used = 0;
  for (const auto& run : list(results, "runs")) {
    seeds.push_back(count(run, "seed"));
    walls.push_back(number(run, "wall_ms"));
    std::uint64_t in_run = 0;
    for (const auto& condition : list(run, "conditions")) {
      for (const auto& partition : list(condition, "partitions")) in_run += count(partition, "kv_bytes_used");
    }
    kv_used = std::max(kv_used, in_run);
  }
  const auto& memory = member(results, "memory");
  const auto& workers = member(memory, "workers");
  const auto peak = count(memory, "peak_rss_bytes") + count(workers, "peak_rss_bytes");
  return {{"name", entry.name},
          {"folder", entry.folder},
          {"complete", flag(results, "complete")},
          {"model", member(results, "model")},
          {"engine", member(results, "engine")},
          {"machine", member(results, "machine")},
          {"memory", memory},
          {"peak_rss_bytes", peak},
          {"kv_bytes_used", kv_used},
          {"seeds", seeds},
          {"greedy", flag(list(results, "runs").front(), "greedy")},
          {"wall_ms", summary_json(walls)}};
}

// All runs of one condition in one entry's document.
std::vector<const Json*> runs_of(const Entry& entry, std::size_t condition) {
  std::vector<const Json*> found;
  for (const auto& run : list(entry.results, "runs")) {
    const auto& conditions = list(run, "conditions");
    if (condition < conditions.size()) found.push_back(&conditions[condition]);
  }
  return found;
}

Json partitions_json(const std::vector<const Json*>& runs) {
  Json partitions = Json::array();
  for (std::size_t i = 0; i < list(*runs.front(), "partitions").size(); ++i) {
    const auto& first = list(*runs.front(), "partitions")[i];
    Json entry = {{"name", text(first, "name")},
                  {"clusters", list(first, "clusters")},
                  {"turns", list(first, "turns")},
                  {"origins", member(first, "origins")},
                  {"context_tokens", Json::array()}};
    for (const auto* run : runs) {
      if (i < list(*run, "partitions").size())
        entry["context_tokens"].push_back(count(list(*run, "partitions")[i], "context_tokens"));
    }
    partitions.push_back(std::move(entry));
  }
  return partitions;
}

// Null where the terms of an output are not countable.
Json terms_of(const Json& output, const char* key) {
  return output.contains(key) && output[key].is_null() ? Json(nullptr) : Json(count(output, key));
}

Json terms_json(const std::vector<const Json*>& runs, const char* key) {
  Json totals = Json::array();  // one for each run; null where an output's are not countable
  for (const auto* run : runs) {
    Json sum = 0U;
    for (const auto& output : list(*run, "outputs")) {
      const auto terms = terms_of(output, key);
      sum = sum.is_null() || terms.is_null() ? Json(nullptr) : Json(sum.get<std::uint64_t>() + count(output, key));
    }
    totals.push_back(sum);
  }
  return totals;
}

Json condition_of_engine(const std::vector<const Json*>& runs) {
  std::vector<double> prefill;
  std::vector<double> decode;
  std::vector<double> wall;
  std::size_t achieved = 0;
  std::uint64_t generated = 0;
  Json reasons = Json::array();
  for (const auto* run : runs) {
    const auto& isolation = member(*run, "isolation");
    achieved += flag(isolation, "achieved") ? 1U : 0U;
    for (const auto& reason : list(isolation, "reasons")) {
      if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) reasons.push_back(reason);
    }
    for (const auto& output : list(*run, "outputs")) generated += count(output, "tokens");
    prefill.push_back(number(*run, "prefill_ms"));
    decode.push_back(number(*run, "decode_ms"));
    wall.push_back(number(*run, "wall_ms"));
  }
  return {{"runs", runs.size()},
          {"achieved", achieved},
          {"reasons", reasons},
          {"partitions", partitions_json(runs)},
          {"own_terms", terms_json(runs, "own_terms")},
          {"foreign_terms", terms_json(runs, "foreign_terms")},
          {"generated_tokens", generated},
          {"prefill_ms", summary_json(prefill)},
          {"decode_ms", summary_json(decode)},
          {"wall_ms", summary_json(wall)}};
}

Json conditions_json(const std::vector<Entry>& entries) {
  Json conditions = Json::array();
  const auto& of_first = list(list(entries.front().results, "runs").front(), "conditions");
  for (std::size_t i = 0; i < of_first.size(); ++i) {
    Json engines = Json::array();
    for (const auto& entry : entries) engines.push_back(condition_of_engine(runs_of(entry, i)));
    conditions.push_back({{"name", text(of_first[i], "name")},
                          {"title", text(of_first[i], "title")},
                          {"separates", text(of_first[i], "separates")},
                          {"engines", engines}});
  }
  return conditions;
}

// Index of the first token that differs from `reference`; null when all are the same.
Json first_difference(const Json& reference, const Json& tokens) {
  const auto [one, two] = std::mismatch(reference.begin(), reference.end(), tokens.begin(), tokens.end());
  return one == reference.end() && two == tokens.end() ? Json(nullptr) : Json(one - reference.begin());
}

Json output_of_engine(const Json& output, const Json& first) {
  const auto words = text(output, "text");
  const auto distinct = measure::distinct_ngrams(words, 2);
  return {{"text", words},
          {"tokens", count(output, "tokens")},
          {"finish", text(output, "finish")},
          {"own_terms", terms_of(output, "own_terms")},
          {"foreign_terms", terms_of(output, "foreign_terms")},
          {"foreign", list(output, "foreign")},
          {"distinct_2", distinct ? Json(*distinct) : Json(nullptr)},
          {"ttft_ms", number(output, "ttft_ms")},
          {"parts_at", first_difference(list(first, "token_ids"), list(output, "token_ids"))}};
}

Json outputs_json(const std::vector<Entry>& entries, const Json& rows) {
  Json outputs = Json::array();
  const auto& runs = list(entries.front().results, "runs");
  for (std::size_t run = 0; run < runs.size(); ++run) {
    const auto& conditions = list(runs[run], "conditions");
    for (std::size_t c = 0; c < conditions.size(); ++c) {
      for (std::size_t o = 0; o < list(conditions[c], "outputs").size(); ++o) {
        const auto& first = list(conditions[c], "outputs")[o];
        Json engines = Json::array();
        for (const auto& entry : entries) {
          const auto& same = list(list(entry.results, "runs")[run], "conditions")[c];
          engines.push_back(output_of_engine(list(same, "outputs").at(o), first));
        }
        outputs.push_back({{"condition", text(conditions[c], "name")},
                           {"title", text(conditions[c], "title")},
                           {"label", text(first, "label")},
                           {"cluster", text(first, "cluster")},
                           {"seed", count(runs[run], "seed")},
                           {"greedy", flag(runs[run], "greedy")},
                           {"input", text(rows.at(outputs.size()), "status")},
                           {"engines", engines}});
      }
    }
  }
  return outputs;
}

}  // namespace

Result<Json> compare(const std::vector<Entry>& entries, const TokenSource& tokens) {
  BH_CHECK(check_entries(entries));
  BH_TRY(const auto rows, check_tokens(entries, tokens));
  BH_TRY(const auto reference, seed_report());
  const auto& first = entries.front().results;
  Json engines = Json::array();
  for (const auto& entry : entries) engines.push_back(engine_json(entry));
  Json document = {{"comparison_version", kVersion},
                   {"bulkhead", {{"version", BULKHEAD_VERSION}}},
                   {"scenario", member(list(first, "runs").front(), "scenario")},
                   {"settings", member(first, "settings")},
                   {"engines", engines},
                   {"inputs", rows},
                   {"conditions", conditions_json(entries)},
                   {"outputs", outputs_json(entries, rows)},
                   {"reference", reference}};
  document["recommendations"] = recommendations(document);
  return document;
}

}  // namespace bulkhead::compare
